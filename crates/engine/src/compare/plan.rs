//! A comparison as plain data, and every check that can be made before a file is open.

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{PageArea, SnapshotSpec, check_range, page_size_of};
use crate::memory::MemorySpec;
use crate::tuning::Tuning;

/// The side with which a block of the left snapshot is compared.
#[derive(Debug)]
pub enum Right {
    /// A block of the right snapshot.
    Pages(PageArea),
    /// Memory, from `offset` on.
    Memory { memory: MemorySpec, offset: u64 },
}

/// A block that both sides have.
#[derive(Debug)]
pub struct Compared {
    /// The block's id, for errors.
    pub name: String,
    pub left: PageArea,
    /// The right side, which is as long as the left one.
    pub right: Right,
}

/// A comparison's plan: everything that it needs to know.
#[derive(Debug)]
pub struct ComparePlan {
    pub left: SnapshotSpec,
    /// The snapshot in which `Right::Pages` lie.
    pub right: Option<SnapshotSpec>,
    pub blocks: Vec<Compared>,
    /// Each file gets as many buffers as a transfer's.
    pub tuning: Tuning,
}

impl ComparePlan {
    pub fn new(left: SnapshotSpec, right: Option<SnapshotSpec>, blocks: Vec<Compared>) -> Self {
        Self {
            left,
            right,
            blocks,
            tuning: Tuning::default(),
        }
    }

    /// Checks every number that does not need a file to be open.
    pub fn check(&self) -> Result<()> {
        self.tuning.check(self.page_size()?)?;
        for snapshot in self.snapshots() {
            self.tuning.check_snapshot(snapshot)?;
        }
        for block in &self.blocks {
            let name = &block.name;
            block.left.check(name)?;
            match &block.right {
                Right::Pages(_) if self.right.is_none() => {
                    return Err(invalid(format!(
                        "block {name}: expected a right snapshot, found none"
                    )));
                }
                Right::Pages(area) => {
                    area.check(name)?;
                    if area.length != block.left.length {
                        return Err(invalid(format!(
                            "block {name}: expected {} bytes on the right as on the left, found {}",
                            block.left.length, area.length
                        )));
                    }
                }
                Right::Memory { offset, .. } => check_range(name, "memory", *offset, block.left.length)?,
            }
        }
        Ok(())
    }

    /// The left snapshot, and the right one where there is one.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &SnapshotSpec> {
        std::iter::once(&self.left).chain(&self.right)
    }

    /// The bytes in a page, of all blocks on both sides; 4096 where there is no block.
    /// # Errors
    /// when two blocks differ
    pub fn page_size(&self) -> Result<u64> {
        page_size_of(self.blocks.iter().flat_map(|block| {
            let right = match &block.right {
                Right::Pages(area) => Some(area),
                Right::Memory { .. } => None,
            };
            let areas = std::iter::once(&block.left).chain(right);
            areas.map(|area| (block.name.as_str(), area))
        }))
    }
}

fn invalid(message: String) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}
