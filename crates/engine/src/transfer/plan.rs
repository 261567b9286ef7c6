//! A transfer as plain data, and every check that can be made before the first byte moves.

use super::only::Only;
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{PageArea, SnapshotSpec, check_apart, check_range, page_size_of};
use crate::memory::MemorySpec;
use crate::tuning::Tuning;

/// The way that the pages go.
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
    /// The offset at which the block starts in `memory`, in bytes.
    pub memory_offset: u64,
    /// The block's place in the snapshot. All regions of a plan have the same page size.
    pub area: PageArea,
    /// A save sets the bits of zero pages too and writes these pages: for memory that a restore does not find empty.
    pub store_zero_pages: bool,
    /// A save reads and writes these pages only, and leaves the others in the snapshot as they are. A zero page among
    /// them becomes a hole with a clear bit, unless zero pages are stored.
    pub only: Option<Only>,
    /// A load takes the memory for zeros, so that clear pages need no work.
    pub memory_is_zero: bool,
}

/// A transfer's plan: everything that it needs to know.
#[derive(Debug)]
pub struct Plan {
    pub direction: Direction,
    pub snapshot: SnapshotSpec,
    pub regions: Vec<Region>,
    pub tuning: Tuning,
}

impl Plan {
    pub fn new(direction: Direction, snapshot: SnapshotSpec, regions: Vec<Region>) -> Self {
        Self {
            direction,
            snapshot,
            regions,
            tuning: Tuning::default(),
        }
    }

    /// Checks every number that does not need a file to be open.
    pub fn check(&self) -> Result<()> {
        self.tuning.check(self.page_size()?)?;
        self.tuning.check_snapshot(&self.snapshot)?;
        for region in &self.regions {
            region.area.check(&region.name)?;
            check_range(&region.name, "memory", region.memory_offset, region.area.length)?;
            if let Some(only) = &region.only {
                if self.direction != Direction::Save {
                    let message = format!("block {}: only a save can be limited to some pages", region.name);
                    return Err(EngineError::new(ErrorKind::InvalidArgument, message));
                }
                only.check(&region.name, &region.area)?;
            }
        }
        check_apart(self.areas())
    }

    /// The bytes in a page, of all regions; 4096 where there is no region.
    /// # Errors
    /// when two regions differ
    pub fn page_size(&self) -> Result<u64> {
        page_size_of(self.areas())
    }

    fn areas(&self) -> impl Iterator<Item = (&str, &PageArea)> {
        self.regions
            .iter()
            .map(|region| (region.name.as_str(), &region.area))
    }
}
