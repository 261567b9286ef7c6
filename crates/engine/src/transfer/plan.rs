//! A transfer as plain data, and every check that can be made before the first byte moves.

use crate::choices::{DirectIo, EngineChoice};
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{PageArea, SnapshotSpec, check_range};
use crate::memory::MemorySpec;
use crate::pages::bitmap_bytes;
use crate::tuning::{DEFAULT_QUEUE_DEPTH, DEFAULT_REQUEST_SIZE, Tuning};

/// Which way the pages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Guest memory → snapshot.
    Save,
    /// Snapshot → guest memory.
    Load,
    /// Snapshot → a visitor: every set page is read, nothing is written.
    Scan,
}

/// One RAM block: where its memory is, and where its pages and bitmap lie in the snapshot.
#[derive(Debug)]
pub struct Region {
    /// The block's id, for errors.
    pub name: String,
    pub memory: MemorySpec,
    /// Where the block starts inside `memory`, in bytes.
    pub memory_offset: u64,
    /// The block's used length in bytes: a multiple of the page size.
    pub length: u64,
    /// Absolute file offset of the first page.
    pub pages_offset: u64,
    /// Absolute file offset of the page bitmap.
    pub bitmap_offset: u64,
    /// Save: set the bits of zero pages too and write them. For memory that a restore does not find empty.
    pub store_zero_pages: bool,
    /// Load: the memory is known to read as zeros, so clear pages need no work.
    pub memory_is_zero: bool,
}

impl Region {
    pub(crate) fn area(&self, page_size: u64) -> PageArea {
        PageArea {
            name: self.name.clone(),
            length: self.length,
            page_size,
            pages_offset: self.pages_offset,
            bitmap_offset: self.bitmap_offset,
        }
    }
}

/// Everything a transfer needs to know.
#[derive(Debug)]
pub struct Plan {
    pub direction: Direction,
    pub snapshot: SnapshotSpec,
    pub regions: Vec<Region>,
    /// Bytes in a target page: a power of two from 512 to 64 KiB.
    pub page_size: u64,
    /// 1 to 64; `None` lets the engine choose.
    pub channels: Option<usize>,
    /// Requests in flight on each channel, 1 to 256.
    pub queue_depth: usize,
    /// The most bytes one request moves, `page_size` to 16 MiB, a multiple of `page_size`.
    pub request_size: usize,
    pub engine: EngineChoice,
    pub direct_io: DirectIo,
    /// Overrides what the filesystem says of direct I/O alignment. For tests.
    pub alignment: Option<u32>,
}

impl Plan {
    pub fn new(direction: Direction, snapshot: SnapshotSpec, regions: Vec<Region>) -> Self {
        Self {
            direction,
            snapshot,
            regions,
            page_size: 4096,
            channels: None,
            queue_depth: DEFAULT_QUEUE_DEPTH,
            request_size: DEFAULT_REQUEST_SIZE,
            engine: EngineChoice::Auto,
            direct_io: DirectIo::Auto,
            alignment: None,
        }
    }

    /// Checks every number that does not need a file to be open.
    pub fn check(&self) -> Result<()> {
        self.tuning().check()?;
        for region in &self.regions {
            self.check_region(region)?;
        }
        self.check_overlaps()
    }

    pub(crate) fn tuning(&self) -> Tuning {
        Tuning {
            page_size: self.page_size,
            channels: self.channels,
            queue_depth: self.queue_depth,
            request_size: self.request_size,
            engine: self.engine,
        }
    }

    fn check_region(&self, region: &Region) -> Result<()> {
        region.area(self.page_size).check()?;
        check_range(&region.name, "memory", region.memory_offset, region.length)
    }

    fn check_overlaps(&self) -> Result<()> {
        let mut ranges = Vec::with_capacity(self.regions.len() * 2);
        for region in &self.regions {
            let bitmap = bitmap_bytes(region.length / self.page_size);
            ranges.push((
                region.pages_offset,
                region.pages_offset + region.length,
                &region.name,
                "pages",
            ));
            ranges.push((
                region.bitmap_offset,
                region.bitmap_offset + bitmap,
                &region.name,
                "bitmap",
            ));
        }
        ranges.retain(|range| range.0 < range.1);
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            if let [left, right] = pair
                && right.0 < left.1
            {
                return Err(EngineError::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "the {} of block {} ({}..{}) overlap the {} of block {} ({}..{})",
                        left.3, left.2, left.0, left.1, right.3, right.2, right.0, right.1
                    ),
                ));
            }
        }
        Ok(())
    }
}
