//! A transfer as plain data, and every check that can be made before the first byte moves.

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::SnapshotSpec;
use crate::memory::MemorySpec;
use crate::pages::bitmap_bytes;

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

/// Who executes the requests. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    #[default]
    Auto,
    IoUring,
    Threads,
}

/// Whether the channels bypass the page cache. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectIo {
    #[default]
    Auto,
    On,
    Off,
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

pub const DEFAULT_QUEUE_DEPTH: usize = 16;
pub const DEFAULT_REQUEST_SIZE: usize = 1 << 20;
/// Channels that `None` stands for, with the threads engine.
pub const DEFAULT_THREAD_CHANNELS: usize = 8;
/// The most channels that `None` stands for with io_uring: half as many as there are cores, up to this.
pub const DEFAULT_MAX_RINGS: usize = 4;
pub const MAX_CHANNELS: usize = 64;
pub const MAX_QUEUE_DEPTH: usize = 256;
pub const MAX_REQUEST_SIZE: usize = 16 << 20;
/// The most that the buffers of all channels may have together: what every number of channels can do with by default.
pub const MAX_BUFFERS: usize = MAX_CHANNELS * (DEFAULT_QUEUE_DEPTH + 1) * DEFAULT_REQUEST_SIZE;

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
        if !self.page_size.is_power_of_two() || !(512..=65536).contains(&self.page_size) {
            return Err(invalid(format!(
                "page size: expected a power of two from 512 to 65536, found {}",
                self.page_size
            )));
        }
        within("channels", self.channels.unwrap_or(1), 1, MAX_CHANNELS)?;
        within("queue depth", self.queue_depth, 1, MAX_QUEUE_DEPTH)?;
        let page = usize::try_from(self.page_size).map_err(|_| invalid("page size out of range"))?;
        within("request size", self.request_size, page, MAX_REQUEST_SIZE)?;
        if !self.request_size.is_multiple_of(page) {
            return Err(invalid(format!(
                "request size: expected a multiple of the page size {page}, found {}",
                self.request_size
            )));
        }
        self.check_buffers()?;
        for region in &self.regions {
            self.check_region(region)?;
        }
        self.check_overlaps()
    }

    /// Buffers of each channel, unless the engine can do with fewer. One more than requests in flight: memory is copied
    /// to or from it while the others are with the disk.
    pub(crate) fn slots(&self) -> usize {
        if self.engine == EngineChoice::Threads {
            // One request at a time is in flight there.
            return 1;
        }
        self.queue_depth + 1
    }

    /// Each number alone may be in range and all of them together be more than the machine has.
    fn check_buffers(&self) -> Result<()> {
        let channels = self.channels.unwrap_or(DEFAULT_THREAD_CHANNELS);
        let total = channels
            .saturating_mul(self.slots())
            .saturating_mul(self.request_size);
        if total <= MAX_BUFFERS {
            return Ok(());
        }
        Err(EngineError::new(
            ErrorKind::OutOfRange,
            format!(
                "buffers: expected at most {MAX_BUFFERS} bytes in all, found {total}: channels ({channels}), queue depth ({}) and request size ({}) are too large together",
                self.queue_depth, self.request_size
            ),
        ))
    }

    fn check_region(&self, region: &Region) -> Result<()> {
        let name = &region.name;
        if !region.length.is_multiple_of(self.page_size) {
            return Err(invalid(format!(
                "block {name}: expected a length that is a multiple of the page size {}, found {}",
                self.page_size, region.length
            )));
        }
        let bitmap = bitmap_bytes(region.length / self.page_size);
        let ranges = [
            ("pages", region.pages_offset, region.length),
            ("bitmap", region.bitmap_offset, bitmap),
            ("memory", region.memory_offset, region.length),
        ];
        for (what, start, length) in ranges {
            let end = start.checked_add(length);
            if end.is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(EngineError::new(
                    ErrorKind::OutOfRange,
                    format!(
                        "block {name}: its {what} end beyond the largest file offset: expected at most {}, found {length} bytes at {start}",
                        i64::MAX
                    ),
                ));
            }
        }
        Ok(())
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

fn within(what: &str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(EngineError::new(
        ErrorKind::OutOfRange,
        format!("{what}: expected {min} to {max}, found {value}"),
    ))
}

fn invalid(message: impl Into<String>) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}
