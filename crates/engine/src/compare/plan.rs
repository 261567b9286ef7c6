//! A comparison as plain data, and every check that can be made before a file is open.

use crate::choices::{DirectIo, EngineChoice};
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{PageArea, SnapshotSpec, check_range};
use crate::memory::MemorySpec;
use crate::tuning::{DEFAULT_QUEUE_DEPTH, DEFAULT_REQUEST_SIZE, Tuning};

/// Where a block lies in a snapshot: absolute file offsets.
#[derive(Debug, Clone, Copy)]
pub struct PagesAt {
    pub pages_offset: u64,
    pub bitmap_offset: u64,
}

/// What a block of the left snapshot is compared with.
#[derive(Debug)]
pub enum Right {
    /// A block of the right snapshot.
    Pages(PagesAt),
    /// Memory, from this offset on.
    Memory { memory: MemorySpec, offset: u64 },
}

/// A block that both sides have.
#[derive(Debug)]
pub struct Compared {
    /// The block's id, for errors.
    pub name: String,
    /// How many bytes to compare: a multiple of the page size.
    pub length: u64,
    pub left: PagesAt,
    pub right: Right,
}

/// Everything a comparison needs to know. The numbers have the ranges and defaults of a `Plan`'s; there are as many buffers
/// for each file as a transfer has.
#[derive(Debug)]
pub struct ComparePlan {
    pub left: SnapshotSpec,
    /// Where `Right::Pages` are.
    pub right: Option<SnapshotSpec>,
    pub blocks: Vec<Compared>,
    pub page_size: u64,
    pub channels: Option<usize>,
    /// Requests in flight on each channel and each file.
    pub queue_depth: usize,
    pub request_size: usize,
    pub engine: EngineChoice,
    pub direct_io: DirectIo,
    /// Overrides what the filesystem says of direct I/O alignment. For tests.
    pub alignment: Option<u32>,
}

impl ComparePlan {
    pub fn new(left: SnapshotSpec, right: Option<SnapshotSpec>, blocks: Vec<Compared>) -> Self {
        Self {
            left,
            right,
            blocks,
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
        for block in &self.blocks {
            let name = &block.name;
            self.area(block, block.left).check()?;
            match &block.right {
                Right::Pages(pages) if self.right.is_some() => self.area(block, *pages).check()?,
                Right::Pages(_) => {
                    let message = format!("block {name}: expected a right snapshot, found none");
                    return Err(EngineError::new(ErrorKind::InvalidArgument, message));
                }
                Right::Memory { offset, .. } => check_range(name, "memory", *offset, block.length)?,
            }
        }
        Ok(())
    }

    pub(super) fn area(&self, block: &Compared, pages: PagesAt) -> PageArea {
        PageArea {
            name: block.name.clone(),
            pages_offset: pages.pages_offset,
            bitmap_offset: pages.bitmap_offset,
            length: block.length,
            page_size: self.page_size,
        }
    }

    pub(super) fn tuning(&self) -> Tuning {
        Tuning {
            page_size: self.page_size,
            channels: self.channels,
            queue_depth: self.queue_depth,
            request_size: self.request_size,
            engine: self.engine,
        }
    }
}
