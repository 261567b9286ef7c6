//! Stale pages: their bit is clear, so they are zero, but the file holds something else in their place. A live save
//! leaves them behind where a page became zero after it was written (docs/format.md §2.6). A program that maps page
//! areas instead of reading by the bitmap has to know them.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::bitmap::read_bitmap;
use super::extents::next_extent;
use super::page_area::{PageArea, check_inside};
use super::positional;
use super::source::FileSource;
use super::storage::Storage;
use crate::error::{EngineError, Result};
use crate::pages::is_zero;

const PIECE: u64 = 1 << 20;

/// The stale pages of a block, as runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StalePages {
    pub runs: Vec<Range<u64>>,
    /// The bytes that had to be read because they are in no hole: many when somebody filled the file's holes with
    /// zeros.
    pub bytes_read: u64,
}

/// Finds the stale pages of `block` without reading holes. A file that is cut off inside the block is an error.
pub fn stale_pages(source: &FileSource, block: &str, area: &PageArea) -> Result<StalePages> {
    let name = source.name();
    // The search for data moves the file position. A description of our own keeps that from others.
    let (file, _) = source
        .reopen_or_duplicate(false)
        .map_err(|error| EngineError::io("opening the snapshot", error).on(&name))?;
    let bitmap = read_bitmap(&file, &name, block, area)?;
    // A mapping shows the clear pages too.
    let size = file
        .size()
        .map_err(|error| EngineError::io("reading the size", error).on(&name))?;
    check_inside(block, "pages", area.pages_offset + area.length, &name, size)?;
    let mut found = StalePages::default();
    let pages = area.pages();
    let mut start = bitmap.next_clear(0);
    while start < pages {
        let end = bitmap.next_set(start).unwrap_or(pages);
        scan(&file, area, start..end, &mut found).map_err(|error| {
            EngineError::io("looking for stale pages", error).at(&name, area.pages_offset)
        })?;
        start = bitmap.next_clear(end);
    }
    Ok(found)
}

/// Looks at the clear pages of `run`.
fn scan(file: &File, area: &PageArea, run: Range<u64>, found: &mut StalePages) -> io::Result<()> {
    let limit = area.pages_offset + run.end * area.page_size;
    let mut offset = area.pages_offset + run.start * area.page_size;
    while offset < limit
        && let Some(data) = next_extent(file, offset).filter(|data| data.start < limit)
    {
        let page = (data.start - area.pages_offset) / area.page_size;
        let from = area.pages_offset + page * area.page_size;
        // The stretch has a byte at the least: data may become a hole meanwhile.
        let whole = data.end.clamp(data.start + 1, limit) - from;
        let length = whole.min(PIECE).next_multiple_of(area.page_size);
        scan_piece(file, area, page, length, found)?;
        offset = from + length;
    }
    Ok(())
}

fn scan_piece(
    file: &File,
    area: &PageArea,
    first: u64,
    length: u64,
    found: &mut StalePages,
) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let offset = area.pages_offset + first * area.page_size;
    if positional::read_full_at(file, &mut bytes, offset)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    found.bytes_read += length;
    let page_size = usize::try_from(area.page_size).unwrap_or(usize::MAX);
    for (page, bytes) in (first..).zip(bytes.chunks(page_size)) {
        if is_zero(bytes) {
            continue;
        }
        match found.runs.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => found.runs.push(page..page + 1),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::{PageArea, stale_pages};
    use crate::file::FileSource;
    use crate::pages::AtomicBitmap;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;
    const AREA: u64 = 1 << 20;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Content {
        Hole,
        Zeros,
        Data,
    }

    fn content() -> impl Strategy<Value = Content> {
        prop_oneof![Just(Content::Hole), Just(Content::Zeros), Just(Content::Data)]
    }

    fn file_of(pages: &[(bool, Content)]) -> (tempfile::NamedTempFile, PageArea) {
        let count = pages.len() as u64;
        let bitmap = AtomicBitmap::try_new(count).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(AREA + count * PAGE).unwrap();
        for (page, (set, content)) in (0..).zip(pages) {
            if *set {
                bitmap.set(page..page + 1);
            }
            let mut bytes = [0; 4096];
            match content {
                Content::Hole => continue,
                Content::Zeros => {}
                Content::Data => bytes[usize::try_from(page).unwrap() % 4096] = 1,
            }
            file.seek(SeekFrom::Start(AREA + page * PAGE)).unwrap();
            file.write_all(&bytes).unwrap();
        }
        let mut bytes = vec![0; usize::try_from(bitmap.len_bytes()).unwrap()];
        bitmap.copy_bytes(0, &mut bytes);
        file.seek(SeekFrom::Start(40)).unwrap();
        file.write_all(&bytes).unwrap();
        let area = PageArea {
            pages_offset: AREA,
            bitmap_offset: 40,
            length: count * PAGE,
            page_size: PAGE,
        };
        (file, area)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_page_is_stale_when_its_bit_is_clear_and_it_is_not_zero(pages in proptest::collection::vec((any::<bool>(), content()), 1..600)) {
            let (file, area) = file_of(&pages);
            let found = stale_pages(&FileSource::Path(file.path().to_owned()), "ram", &area).unwrap();
            let naive: Vec<u64> = (0..).zip(&pages).filter(|(_, page)| **page == (false, Content::Data)).map(|(page, _)| page).collect();
            let walked: Vec<u64> = found.runs.into_iter().flatten().collect();
            prop_assert_eq!(walked, naive);
        }
    }

    #[test]
    fn holes_are_not_read() {
        let mut pages = vec![(false, Content::Hole); 5000];
        pages[4000] = (false, Content::Data);
        let (file, area) = file_of(&pages);
        let found = stale_pages(&FileSource::Path(file.path().to_owned()), "ram", &area).unwrap();
        assert_eq!(found.runs, std::slice::from_ref(&(4000..4001)));
        assert!(found.bytes_read <= 65536, "{} bytes read", found.bytes_read);
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let (file, area) = file_of(&[(true, Content::Data); 8]);
        file.as_file().set_len(AREA + 7 * PAGE).unwrap();
        assert!(stale_pages(&FileSource::Path(file.path().to_owned()), "ram", &area).is_err());
    }
}
