//! Reads the bitmap of a block, as large as the file's size allows and no larger.

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{SnapshotFile, position};
use crate::pages::{Bitmap, bitmap_bytes};

/// Where a block's pages and bitmap lie in a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPages<'a> {
    pub(crate) name: &'a str,
    /// In bytes: whole pages.
    pub(crate) length: u64,
    pub(crate) page_size: u64,
    pub(crate) pages_offset: u64,
    pub(crate) bitmap_offset: u64,
}

impl BlockPages<'_> {
    fn bitmap_length(&self) -> u64 {
        bitmap_bytes(self.length / self.page_size)
    }

    pub(crate) fn too_large(&self) -> EngineError {
        let message = format!(
            "the bitmap of block {} does not fit in memory: found {} bytes",
            self.name,
            self.bitmap_length()
        );
        EngineError::new(ErrorKind::OutOfRange, message)
    }
}

/// The bitmap of a block; an error when it, or a page that is set, lies outside the file.
pub(crate) fn read_bitmap(block: &BlockPages<'_>, file: &SnapshotFile) -> Result<Bitmap> {
    let pages = block.length / block.page_size;
    let length = block.bitmap_length();
    let size = file
        .buffered
        .metadata()
        .map_err(|error| EngineError::io("reading the size", error).on(&file.name))?
        .len();
    let outside = |what: &str, end: u64| {
        EngineError::new(
            ErrorKind::Truncated,
            format!("the {what} of block {} end outside the file: expected a size of at least {end}, found {size}", block.name),
        )
        .at(&file.name, size)
    };
    // The file's size bounds the allocation, whatever a header said.
    let end = block.bitmap_offset.saturating_add(length);
    if end > size {
        return Err(outside("bitmap", end));
    }
    let mut bytes = Vec::new();
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes.try_reserve_exact(wanted).is_err() {
        // A sparse file may be as large as it likes to say.
        return Err(block.too_large().at(&file.name, block.bitmap_offset));
    }
    bytes.resize(wanted, 0);
    let read = position::read_full_at(&file.buffered, &mut bytes, block.bitmap_offset)
        .map_err(|error| EngineError::io("reading the bitmap", error).at(&file.name, block.bitmap_offset))?;
    if read < bytes.len() {
        return Err(outside("bitmap", end));
    }
    let bitmap = Bitmap::try_from_bytes(&bytes, pages)
        .map_err(|_| block.too_large().at(&file.name, block.bitmap_offset))?;
    if let Some(last) = bitmap.last_set() {
        let end = block.pages_offset + (last + 1) * block.page_size;
        if end > size {
            return Err(outside("pages", end));
        }
    }
    Ok(bitmap)
}
