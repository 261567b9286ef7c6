//! Where a block lies in a snapshot, and its bitmap, read as far as the file's size and memory allow.

use std::fs::File;

use super::position;
use crate::error::{EngineError, ErrorKind, Result};
use crate::numbers::check_page_size;
use crate::pages::{Bitmap, bitmap_bytes};
use crate::plan::{check_length, check_range};

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

/// The bitmap of a block in `file`, which errors call `path`.
/// # Errors
/// when it, or a page that is set, lies outside the file, or there is no memory for it
pub(crate) fn read_bitmap(file: &File, path: &str, area: &PageArea) -> Result<Bitmap> {
    area.check()?;
    let length = bitmap_bytes(area.pages());
    // The file's size bounds the allocation, whatever a header said.
    let end = area.bitmap_offset + length;
    area.require("bitmap", end, file, path)?;
    let mut bytes = Vec::new();
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    // A sparse file may be as large as it likes to say.
    let too_large = |_| area.too_large().at(path, area.bitmap_offset);
    bytes.try_reserve_exact(wanted).map_err(too_large)?;
    bytes.resize(wanted, 0);
    let read = position::read_full_at(file, &mut bytes, area.bitmap_offset)
        .map_err(|error| EngineError::io("reading the bitmap", error).at(path, area.bitmap_offset))?;
    if read < bytes.len() {
        let size = area.bitmap_offset + read as u64;
        return Err(area.outside("bitmap", end, size).at(path, size));
    }
    let bitmap = Bitmap::try_from_bytes(&bytes, area.pages()).map_err(too_large)?;
    if let Some(last) = bitmap.last_set() {
        let end = area.pages_offset + (last + 1) * area.page_size;
        area.require("pages", end, file, path)?;
    }
    Ok(bitmap)
}
