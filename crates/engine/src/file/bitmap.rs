//! The bitmap of a block, read as far as the file's size and memory allow.

use std::fs::File;
use std::ops::Range;

use super::extents::next_extent;
use super::page_area::{PageArea, check_inside};
use super::storage::Storage;
use super::{positional, source};
use crate::error::{EngineError, Result};
use crate::pages::{Bitmap, bitmap_bytes};

const WORD: u64 = 8;
/// The most bytes of a bitmap that are read at once: whole words.
const PIECE: usize = 1 << 20;

/// Reads the bitmap of block `name` in `storage`, which errors call `path`. Only words that are not zero take up
/// memory.
/// # Errors
/// when the bitmap, or a page that is set, lies outside the storage, or when there is no memory for the bitmap
pub(crate) fn read_bitmap(storage: &dyn Storage, path: &str, name: &str, area: &PageArea) -> Result<Bitmap> {
    area.check(name)?;
    let (start, length) = (area.bitmap_offset, bitmap_bytes(area.pages()));
    let end = start + length;
    let size = storage
        .size()
        .map_err(|error| EngineError::io("reading the size", error).on(path))?;
    check_inside(name, "bitmap", end, path, size)?;
    // The size bounds nothing by itself: a sparse file may state any size.
    let mut bitmap = Bitmap::try_new(area.pages()).ok_or_else(|| area.too_large(name).at(path, start))?;
    let mut buffer = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
    // The search for holes moves a file position, which may be the caller's. A small bitmap is not worth a descriptor
    // for it.
    let file = storage.file().filter(|_| length > PIECE as u64);
    let own = file.and_then(source::again);
    let mut done = 0;
    while let Some(piece) = next_piece(own.as_ref(), start, done..length) {
        let offset = start + piece.start;
        let wanted = usize::try_from(piece.end - piece.start).unwrap_or(PIECE);
        let bytes = &mut buffer[..wanted];
        let read = positional::read_full_at(storage, bytes, offset)
            .map_err(|error| EngineError::io("reading the bitmap", error).at(path, offset))?;
        if read < wanted {
            // Somebody has cut the file short meanwhile.
            check_inside(name, "bitmap", end, path, offset + read as u64)?;
        }
        bitmap.fill(piece.start, bytes);
        done = piece.end;
    }
    if let Some(last) = bitmap.last_set() {
        let end = area.pages_offset + (last + 1) * area.page_size;
        check_inside(name, "pages", end, path, size)?;
    }
    Ok(bitmap)
}

/// Finds the next words of `rest` that may lie outside the file's holes. `rest` and the result count bytes of the
/// bitmap, which starts at `start` of the file.
fn next_piece(file: Option<&File>, start: u64, rest: Range<u64>) -> Option<Range<u64>> {
    if rest.is_empty() {
        return None;
    }
    let position = start + rest.start;
    let data = match file {
        Some(file) => next_extent(file, position)?,
        None => position..u64::MAX,
    };
    let first = data.start.saturating_sub(start).max(rest.start);
    let first = first - first % WORD;
    let last = data.end.saturating_sub(start).min(rest.end);
    // The piece has a word at the least: data may become a hole meanwhile.
    let last = last
        .next_multiple_of(WORD)
        .clamp(first + WORD, first + PIECE as u64);
    (first < rest.end).then_some(first..last)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};
    use std::ops::Range;

    use super::{PIECE, PageArea, positional, read_bitmap};
    use proptest::prelude::*;

    fn area_of(bitmap_offset: u64, pages: u64) -> PageArea {
        PageArea {
            pages_offset: 0,
            bitmap_offset,
            length: pages * 512,
            page_size: 512,
        }
    }

    /// Runs of the pages whose bits are set, where all bits of a byte are alike.
    fn naive_runs(bytes: &[u8]) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        let mut page = 0;
        for alike in bytes.chunk_by(|left, right| left == right) {
            let end = page + alike.len() as u64 * 8;
            if alike.contains(&0xff) {
                runs.push(page..end);
            }
            page = end;
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_bitmap_with_holes_reads_as_its_bytes(
            stretches in proptest::collection::vec((1_usize..1 << 20, prop_oneof![Just(None), Just(Some(0)), Just(Some(0xff))]), 1..8),
            bitmap_offset in 0_u64..10_000,
        ) {
            let mut named = tempfile::NamedTempFile::new().unwrap();
            let file = named.as_file_mut();
            file.seek(SeekFrom::Start(bitmap_offset)).unwrap();
            for (count, byte) in stretches {
                match byte {
                    Some(byte) => file.write_all(&vec![byte; count]).unwrap(),
                    None => file.seek_relative(i64::try_from(count).unwrap()).unwrap(),
                }
            }
            let position = file.stream_position().unwrap();
            let pages = (position - bitmap_offset) / 8 * 64;
            let area = area_of(bitmap_offset, pages);
            // The file has room for the pages that are set.
            file.set_len(position.max(area.length)).unwrap();
            let bitmap = read_bitmap(file, "file", "ram", &area).unwrap();
            prop_assert_eq!(file.stream_position().unwrap(), position, "the file position stays");
            let mut bytes = vec![0; usize::try_from(pages / 8).unwrap()];
            positional::read_full_at(file, &mut bytes, bitmap_offset).unwrap();
            prop_assert_eq!(bitmap.runs(0..pages).collect::<Vec<_>>(), naive_runs(&bytes));
        }
    }

    #[test]
    fn a_large_bitmap_is_read_to_its_last_word() {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        let length = PIECE as u64 * 3;
        let area = area_of(0, length * 8);
        let file = named.as_file_mut();
        file.set_len(area.length).unwrap();
        file.seek(SeekFrom::Start(length - 1)).unwrap();
        file.write_all(&[0x80]).unwrap();
        let bitmap = read_bitmap(file, "file", "ram", &area).unwrap();
        assert_eq!(bitmap.next_set(0), Some(length * 8 - 1));
        assert_eq!(bitmap.count(), 1);
    }
}
