//! A save of some pages: those that have changed since the snapshot was made that the others are in already.

use std::ops::Range;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{PageArea, SnapshotFile, read_bitmap};
use crate::pages::{AtomicBitmap, Bitmap, bitmap_bytes};

/// The pages that a save of a region is limited to.
#[derive(Debug)]
pub struct Only {
    /// The pages that are read and written.
    pub pages: Bitmap,
    /// The bits of the other pages.
    pub base: BaseBits,
}

/// The bits that the pages get that a save leaves alone.
#[derive(Debug)]
pub enum BaseBits {
    /// They are clear.
    Clear,
    /// They stay as the snapshot has them: it is a copy of the base.
    InPlace,
    Bits(Bitmap),
}

impl Only {
    /// Takes the pages of runs, in bytes from the start of block `name`, ascending.
    /// # Errors
    /// InvalidArgument for runs that are not ascending, or not in whole pages of the block
    pub fn of_runs(name: &str, area: &PageArea, runs: &[Range<u64>], base: BaseBits) -> Result<Self> {
        let mut pages = bitmap_of(name, area)?;
        let mut reached = 0;
        let page = area.page_size.max(1);
        for Range { start, end } in runs.iter().cloned() {
            let is_whole = start.is_multiple_of(page) && end.is_multiple_of(page);
            if !is_whole || start < reached || end <= start || end > area.length {
                return Err(invalid(format!(
                    "block {name}: expected ascending runs of whole pages of {page} bytes within {} bytes, found {start} \
                     up to {end} behind {reached}",
                    area.length
                )));
            }
            pages.set(start / page..end / page);
            reached = end;
        }
        Ok(Self { pages, base })
    }

    /// Takes the pages whose bits are set in a bitmap of block `name`, in bytes as a file has them. Bits beyond the last
    /// page are ignored.
    /// # Errors
    /// InvalidArgument unless there are as many bytes as the block's bitmap has
    pub fn of_bitmap(name: &str, area: &PageArea, bytes: &[u8], base: BaseBits) -> Result<Self> {
        let pages = bitmap_of_bytes(name, area, bytes)?;
        Ok(Self { pages, base })
    }

    pub(super) fn check(&self, name: &str, area: &PageArea) -> Result<()> {
        let bits = match &self.base {
            BaseBits::Bits(bits) => Some(bits),
            BaseBits::Clear | BaseBits::InPlace => None,
        };
        for bitmap in std::iter::once(&self.pages).chain(bits) {
            if bitmap.pages() != area.pages() {
                return Err(invalid(format!(
                    "block {name}: expected a bitmap of {} pages, found one of {}",
                    area.pages(),
                    bitmap.pages()
                )));
            }
        }
        Ok(())
    }

    /// Sets the bits of the pages that are left alone.
    pub(super) fn keep_base(
        &self,
        file: &SnapshotFile,
        name: &str,
        area: &PageArea,
        written: &AtomicBitmap,
    ) -> Result<()> {
        match &self.base {
            BaseBits::Clear => {}
            BaseBits::InPlace => {
                let found = read_bitmap(file.buffered.as_ref(), &file.name, name, area)?;
                written.set_all_but(&found, &self.pages);
            }
            BaseBits::Bits(bits) => written.set_all_but(bits, &self.pages),
        }
        Ok(())
    }
}

impl BaseBits {
    /// Takes the bytes of a bitmap as `Only::of_bitmap` does.
    pub fn of_bytes(name: &str, area: &PageArea, bytes: &[u8]) -> Result<Self> {
        bitmap_of_bytes(name, area, bytes).map(Self::Bits)
    }
}

fn bitmap_of_bytes(name: &str, area: &PageArea, bytes: &[u8]) -> Result<Bitmap> {
    let mut bitmap = bitmap_of(name, area)?;
    let (expected, found) = (bitmap_bytes(area.pages()), bytes.len());
    if found as u64 != expected {
        return Err(invalid(format!(
            "block {name}: expected a bitmap of {expected} bytes, found {found}"
        )));
    }
    bitmap.fill(0, bytes);
    Ok(bitmap)
}

/// Makes a bitmap for the pages of block `name`, all clear.
pub(super) fn bitmap_of(name: &str, area: &PageArea) -> Result<Bitmap> {
    area.check(name)?;
    Bitmap::try_new(area.pages()).ok_or_else(|| area.too_large(name))
}

fn invalid(message: String) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}
