//! Where a block lies in a snapshot, and its bitmap, read as far as the file's size and memory allow.

use std::fs::File;
use std::ops::Range;

use super::extents::next_extent;
use super::{positional, source};
use crate::error::{EngineError, ErrorKind, Result};
use crate::pages::{Bitmap, bitmap_bytes};

const WORD: u64 = 8;
/// The most bytes of a bitmap that are read at once: whole words.
const PIECE: usize = 1 << 20;

/// A block's place in a snapshot, in bytes.
#[derive(Debug, Clone)]
pub struct PageArea {
    /// The block's id, for errors.
    pub name: String,
    /// Absolute file offset of the first page.
    pub pages_offset: u64,
    /// Absolute file offset of the page bitmap.
    pub bitmap_offset: u64,
    /// The block's used length: whole pages.
    pub length: u64,
    /// A power of two from 512 to 64 KiB.
    pub page_size: u64,
}

impl PageArea {
    pub(crate) fn pages(&self) -> u64 {
        self.length / self.page_size
    }

    /// Checks every number that does not need the file to be open.
    pub(crate) fn check(&self) -> Result<()> {
        check_page_size(self.page_size)?;
        check_length(&self.name, self.length, self.page_size)?;
        check_range(&self.name, "pages", self.pages_offset, self.length)?;
        let bitmap = bitmap_bytes(self.pages());
        check_range(&self.name, "bitmap", self.bitmap_offset, bitmap)
    }

    /// Errors unless `file`, called `path`, has what ends at `end`.
    pub(super) fn require(&self, what: &str, end: u64, file: &File, path: &str) -> Result<()> {
        let size = file
            .metadata()
            .map_err(|error| EngineError::io("reading the size", error).on(path))?
            .len();
        if end <= size {
            return Ok(());
        }
        Err(self.outside(what, end, size).at(path, size))
    }

    fn outside(&self, what: &str, end: u64, size: u64) -> EngineError {
        let message = format!(
            "the {what} of block {} end outside the file: expected a size of at least {end}, found {size}",
            self.name
        );
        EngineError::new(ErrorKind::Truncated, message)
    }

    pub(crate) fn too_large(&self) -> EngineError {
        let message = format!(
            "the bitmap of block {} does not fit in memory: found {} bytes",
            self.name,
            bitmap_bytes(self.pages())
        );
        EngineError::new(ErrorKind::OutOfRange, message)
    }
}

/// The bitmap of a block in `file`, which errors call `path`. Takes up memory for what is not zero in it.
/// # Errors
/// when it, or a page that is set, lies outside the file, or there is no memory for it
pub(crate) fn read_bitmap(file: &File, path: &str, area: &PageArea) -> Result<Bitmap> {
    area.check()?;
    let (start, length) = (area.bitmap_offset, bitmap_bytes(area.pages()));
    let end = start + length;
    area.require("bitmap", end, file, path)?;
    // A sparse file may be as large as it likes to say.
    let mut bitmap = Bitmap::try_new(area.pages()).ok_or_else(|| area.too_large().at(path, start))?;
    let mut buffer = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
    // Looking for holes moves a file position, which may be the caller's; a small bitmap is not worth it.
    let own = (length > PIECE as u64).then(|| source::again(file)).flatten();
    let mut done = 0;
    while let Some(piece) = next_piece(own.as_ref(), start, done..length) {
        let offset = start + piece.start;
        let size = usize::try_from(piece.end - piece.start).unwrap_or(PIECE);
        let bytes = &mut buffer[..size];
        let read = positional::read_full_at(file, bytes, offset)
            .map_err(|error| EngineError::io("reading the bitmap", error).at(path, offset))?;
        if read < size {
            let found = offset + read as u64;
            return Err(area.outside("bitmap", end, found).at(path, found));
        }
        bitmap.fill(piece.start, bytes);
        done = piece.end;
    }
    if let Some(last) = bitmap.last_set() {
        let end = area.pages_offset + (last + 1) * area.page_size;
        area.require("pages", end, file, path)?;
    }
    Ok(bitmap)
}

pub(crate) fn check_page_size(page_size: u64) -> Result<()> {
    if page_size.is_power_of_two() && (512..=65536).contains(&page_size) {
        return Ok(());
    }
    Err(invalid(format!(
        "page size: expected a power of two from 512 to 65536, found {page_size}"
    )))
}

/// A block has whole pages.
pub(crate) fn check_length(name: &str, length: u64, page_size: u64) -> Result<()> {
    if length.is_multiple_of(page_size) {
        return Ok(());
    }
    Err(invalid(format!(
        "block {name}: expected a length that is a multiple of the page size {page_size}, found {length}"
    )))
}

/// What a block has in a file ends where offsets end, at the latest.
pub(crate) fn check_range(name: &str, what: &str, start: u64, length: u64) -> Result<()> {
    let end = start.checked_add(length);
    if end.is_some_and(|end| i64::try_from(end).is_ok()) {
        return Ok(());
    }
    Err(EngineError::new(
        ErrorKind::OutOfRange,
        format!(
            "block {name}: its {what} end beyond the largest file offset: expected at most {}, found {length} bytes at {start}",
            i64::MAX
        ),
    ))
}

fn invalid(message: impl Into<String>) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}

/// The next words of `rest`, in bytes of a bitmap that starts at `start`, that may be in no hole of the file.
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
    // A word at the least: data may become a hole meanwhile.
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
            name: "ram".to_owned(),
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
            // Room for the pages that are set.
            file.set_len(position.max(area.length)).unwrap();
            let bitmap = read_bitmap(file, "file", &area).unwrap();
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
        let bitmap = read_bitmap(file, "file", &area).unwrap();
        assert_eq!(bitmap.next_set(0), Some(length * 8 - 1));
        assert_eq!(bitmap.count(), 1);
    }
}
