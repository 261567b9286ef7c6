//! Visitors, which look at pages while they pass: a digest does. Most transfers have none.

use std::fmt;
use std::ops::Range;

use super::plan::Plan;
use crate::error::{EngineError, ErrorKind, Result};

/// A window of a block as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Pages<'a> {
    /// The index of the region in the plan.
    pub region: usize,
    /// The offset at which the window starts in the block, in bytes: a multiple of the visitor's unit.
    pub start: u64,
    /// The bytes in a page.
    pub page_size: usize,
    /// The window, in whole units unless the block ends before. It may hold anything outside of the runs.
    pub bytes: &'a [u8],
    /// Adjacent pages that are (load, scan) or will be (save) in the snapshot, in bytes from the window's start.
    pub runs: &'a [Range<usize>],
}

/// Looks at the pages of a transfer, on the channels' threads and in no particular order: before they are written
/// (save), or when they have been read (load, scan). A window without a page in the snapshot may be left out; every
/// other is shown exactly once.
pub trait Visitor: Send + Sync + fmt::Debug {
    /// The unit, a power of two: windows are never cut inside of this many bytes of a block, counted from the block's
    /// start. Less than a page counts as a page.
    fn unit(&self) -> u64 {
        1
    }

    /// # Errors
    /// any error, which ends the transfer
    fn visit(&self, pages: &Pages<'_>) -> Result<()>;
}

/// Finds the unit of a transfer's windows. A request that cannot hold one is an error.
pub(super) fn check_unit(unit: u64, page_size: u64, plan: &Plan) -> Result<u64> {
    let unit = unit.max(page_size);
    if unit.is_power_of_two() && (plan.tuning.request_size as u64).is_multiple_of(unit) {
        return Ok(unit);
    }
    Err(EngineError::new(
        ErrorKind::OutOfRange,
        format!(
            "request size: expected a multiple of {unit} (a power of two), found {}",
            plan.tuning.request_size
        ),
    ))
}
