//! The place of a block in a snapshot, and every check of that place.

use crate::error::{EngineError, ErrorKind, Result};
use crate::pages::bitmap_bytes;

/// The page size of a plan without blocks.
const DEFAULT_PAGE_SIZE: u64 = 4096;

/// A block's place in a snapshot, in bytes. The block's name is not part of it: the checks take one for their errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageArea {
    /// Absolute file offset of the first page.
    pub pages_offset: u64,
    /// Absolute file offset of the page bitmap.
    pub bitmap_offset: u64,
    /// The block's used length: whole pages.
    pub length: u64,
    /// A power of two from 256 (AVR) to 64 KiB (ARM).
    pub page_size: u64,
}

impl PageArea {
    pub(crate) fn pages(&self) -> u64 {
        self.length / self.page_size
    }

    /// Checks every number that does not need the file to be open.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        check_page_size(self.page_size)?;
        if !self.length.is_multiple_of(self.page_size) {
            return Err(invalid(format!(
                "block {name}: expected a length that is a multiple of the page size {}, found {}",
                self.page_size, self.length
            )));
        }
        check_range(name, "pages", self.pages_offset, self.length)?;
        check_range(name, "bitmap", self.bitmap_offset, bitmap_bytes(self.pages()))
    }

    pub(crate) fn too_large(&self, name: &str) -> EngineError {
        let message = format!(
            "the bitmap of block {name} does not fit in memory: found {} bytes",
            bitmap_bytes(self.pages())
        );
        EngineError::new(ErrorKind::OutOfRange, message)
    }
}

/// Refuses a part of a block that ends at `end`, outside the file `path` of `size` bytes.
pub(super) fn check_inside(name: &str, what: &str, end: u64, path: &str, size: u64) -> Result<()> {
    if end <= size {
        return Ok(());
    }
    let message = format!(
        "the {what} of block {name} end outside the file: expected a size of at least {end}, found {size}"
    );
    Err(EngineError::new(ErrorKind::Truncated, message).at(path, size))
}

/// Finds the one page size that all blocks have.
/// # Errors
/// when two of them differ
pub(crate) fn page_size_of<'a>(blocks: impl Iterator<Item = (&'a str, &'a PageArea)>) -> Result<u64> {
    let mut first: Option<(&str, u64)> = None;
    for (name, area) in blocks {
        let (other, page_size) = *first.get_or_insert((name, area.page_size));
        if area.page_size != page_size {
            return Err(invalid(format!(
                "block {name}: expected the page size {page_size} of block {other}, found {}",
                area.page_size
            )));
        }
    }
    Ok(first.map_or(DEFAULT_PAGE_SIZE, |(_, page_size)| page_size))
}

/// Refuses blocks whose pages or bitmaps share a byte of the file. Each block alone was checked before.
pub(crate) fn check_apart<'a>(blocks: impl Iterator<Item = (&'a str, &'a PageArea)>) -> Result<()> {
    let mut ranges = Vec::new();
    for (name, area) in blocks {
        let bitmap = bitmap_bytes(area.pages());
        ranges.push((area.pages_offset, area.pages_offset + area.length, name, "pages"));
        ranges.push((area.bitmap_offset, area.bitmap_offset + bitmap, name, "bitmap"));
    }
    ranges.retain(|range| range.0 < range.1);
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [left, right] = pair
            && right.0 < left.1
        {
            return Err(invalid(format!(
                "the {} of block {} ({}..{}) overlap the {} of block {} ({}..{})",
                left.3, left.2, left.0, left.1, right.3, right.2, right.0, right.1
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_page_size(page_size: u64) -> Result<()> {
    if page_size.is_power_of_two() && (256..=65536).contains(&page_size) {
        return Ok(());
    }
    Err(invalid(format!(
        "page size: expected a power of two from 256 to 65536, found {page_size}"
    )))
}

/// Refuses a part of a block that would end beyond the largest file offset.
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
