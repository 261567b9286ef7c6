//! A comparison as plain data, and every check that can be made before a file is open.

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::SnapshotSpec;
use crate::memory::MemorySpec;
use crate::numbers::Numbers;
use crate::pages::bitmap_bytes;
use crate::plan::{
    DEFAULT_QUEUE_DEPTH, DEFAULT_REQUEST_SIZE, DirectIo, EngineChoice, check_length, check_range,
};

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
        self.numbers().check()?;
        for block in &self.blocks {
            let name = &block.name;
            check_length(name, block.length, self.page_size)?;
            self.check_pages(block, block.left)?;
            match &block.right {
                Right::Pages(pages) if self.right.is_some() => self.check_pages(block, *pages)?,
                Right::Pages(_) => {
                    let message = format!("block {name}: expected a right snapshot, found none");
                    return Err(EngineError::new(ErrorKind::InvalidArgument, message));
                }
                Right::Memory { offset, .. } => check_range(name, "memory", *offset, block.length)?,
            }
        }
        Ok(())
    }

    fn check_pages(&self, block: &Compared, pages: PagesAt) -> Result<()> {
        let bitmap = bitmap_bytes(block.length / self.page_size);
        check_range(&block.name, "pages", pages.pages_offset, block.length)?;
        check_range(&block.name, "bitmap", pages.bitmap_offset, bitmap)
    }

    pub(super) fn numbers(&self) -> Numbers {
        Numbers {
            page_size: self.page_size,
            channels: self.channels,
            queue_depth: self.queue_depth,
            request_size: self.request_size,
            engine: self.engine,
        }
    }
}
