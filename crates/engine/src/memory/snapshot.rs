//! A block of another snapshot as the memory that is saved. The bitmap says which pages count: the file may hold a
//! stale page under a clear bit (docs/format.md §2.6), so holes are not enough to go by.

use std::fs::File;
use std::ops::Range;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{FileSource, Identity, PageArea, positional, read_bitmap};
use crate::pages::Bitmap;

/// The block as a plan names it. The region's `memory_offset` counts from the block's first page.
#[derive(Debug, Clone)]
pub struct SnapshotBlock {
    pub file: FileSource,
    /// The block's id, for errors.
    pub name: String,
    pub area: PageArea,
}

#[derive(Debug)]
pub struct SnapshotMemory {
    file: File,
    name: String,
    area: PageArea,
    bitmap: Bitmap,
}

impl SnapshotMemory {
    pub(super) fn open(block: &SnapshotBlock) -> Result<Self> {
        let name = block.file.name();
        let file = block
            .file
            .open(false)
            .map_err(|error| EngineError::io("opening the other snapshot", error).on(&name))?;
        let bitmap = read_bitmap(&file, &name, &block.name, &block.area)?;
        Ok(Self {
            file,
            name,
            area: block.area,
            bitmap,
        })
    }

    pub(super) fn require(&self, offset: u64, length: u64) -> Result<()> {
        let available = self.area.length;
        if offset.checked_add(length).is_some_and(|end| end <= available) {
            return Ok(());
        }
        let message = format!("the block has {available} bytes: expected {length} at {offset}");
        Err(EngineError::new(ErrorKind::Truncated, message).on(&self.name))
    }

    pub(super) fn next_data(&self, offset: u64) -> Range<u64> {
        let page = self.area.page_size;
        let Some(set) = self.bitmap.next_set(offset / page) else {
            return self.area.length.max(offset)..u64::MAX;
        };
        offset.max(set * page)..self.bitmap.next_clear(set) * page
    }

    /// Reads whole pages: set ones from the file, clear ones as zeros.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let page = self.area.page_size;
        let pages = offset / page..offset.saturating_add(buffer.len() as u64).div_ceil(page);
        let mut done = 0;
        for run in self.bitmap.runs(pages) {
            let start = self.in_buffer(run.start * page, offset, buffer.len());
            let end = self.in_buffer(run.end * page, offset, buffer.len());
            buffer[done..start].fill(0);
            self.read_run(&mut buffer[start..end], offset + start as u64)?;
            done = end;
        }
        buffer[done..].fill(0);
        Ok(())
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        Identity::of_file(&self.file)
    }

    /// Turns a position in the block into one in a buffer that starts at `offset` of the block.
    fn in_buffer(&self, position: u64, offset: u64, length: usize) -> usize {
        usize::try_from(position.saturating_sub(offset)).map_or(length, |place| place.min(length))
    }

    fn read_run(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let at = self.area.pages_offset + offset;
        let count = positional::read_full_at(&self.file, buffer, at)
            .map_err(|error| EngineError::io("reading the other snapshot", error).at(&self.name, at))?;
        if count == buffer.len() {
            return Ok(());
        }
        let message = format!(
            "the other snapshot ended: expected {} bytes, found {count}",
            buffer.len()
        );
        Err(EngineError::new(ErrorKind::Truncated, message).at(&self.name, at))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{PageArea, SnapshotBlock, SnapshotMemory};
    use crate::file::FileSource;

    const PAGE: usize = 512;

    /// Makes five pages of 1, 2, 3, 4, 5 at offset 512, with their bitmap at 0.
    fn open(bitmap: u8) -> SnapshotMemory {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; PAGE];
        bytes[0] = bitmap;
        for page in 1..=5 {
            bytes.extend([page; PAGE]);
        }
        named.write_all(&bytes).unwrap();
        let file = FileSource::Path(named.path().to_owned());
        let area = PageArea {
            pages_offset: PAGE as u64,
            bitmap_offset: 0,
            length: 5 * PAGE as u64,
            page_size: PAGE as u64,
        };
        SnapshotMemory::open(&SnapshotBlock {
            file,
            name: "ram".to_owned(),
            area,
        })
        .unwrap()
    }

    #[test]
    fn a_page_whose_bit_is_clear_reads_as_zeros_whatever_the_file_holds() {
        for bitmap in 0..32_u8 {
            let memory = open(bitmap);
            for (first, count) in [(0, 5), (1, 3), (4, 1), (2, 1)] {
                let mut found = vec![0xee; count * PAGE];
                memory.read(&mut found, (first * PAGE) as u64).unwrap();
                for (index, bytes) in found.chunks(PAGE).enumerate() {
                    let page = first + index;
                    let number = u8::try_from(page + 1).unwrap();
                    let expected = if bitmap & (1 << page) == 0 { 0 } else { number };
                    assert!(
                        bytes.iter().all(|byte| *byte == expected),
                        "page {page} of {bitmap:#b}"
                    );
                }
            }
        }
    }

    #[test]
    fn only_set_pages_are_data() {
        let memory = open(0b10110);
        let page = PAGE as u64;
        assert_eq!(memory.next_data(0), page..3 * page);
        assert_eq!(memory.next_data(2 * page), 2 * page..3 * page);
        assert_eq!(memory.next_data(3 * page), 4 * page..5 * page);
        assert_eq!(open(0b00010).next_data(2 * page).start, 5 * page);
    }

    #[test]
    fn more_than_the_block_has_is_refused() {
        let memory = open(0b1);
        memory.require(0, 5 * PAGE as u64).unwrap();
        assert!(memory.require(1, 5 * PAGE as u64).is_err());
        assert!(memory.require(u64::MAX, 2).is_err());
    }
}
