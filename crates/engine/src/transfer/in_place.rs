//! The windows that the kernel moves from or to the guest's memory as it lies, without a copy.
//!
//! A save looks at the first bytes of each page. What they show to be data is written from where it lies; the other pages
//! are read as ever, to see whether they are zero.

use std::ops::Range;

use super::plan::{Direction, Plan, Region};
use super::runs::{bytes_of, runs_of};
use super::windows::{OpenRegion, Shared, Window};
use crate::error::Result;
use crate::file::SnapshotFile;
use crate::memory::{Heads, InPlace, Memory};
use crate::pages::is_zero;
use crate::requests::Requests;
use crate::run::in_memory;

/// The size of the host's pages, in which holes lie and memory is mapped.
const PAGE: u64 = 4096;
/// The places in each huge page of a window at which a save looks for data before it trusts the page to exist.
const PROBES: u64 = 4;
/// A window is copied when more than one of this many of its bytes may be in zero pages.
const MOST_BLANK: u64 = 8;
/// A window is copied when it has more runs of data: a copy has zeros to fill the gaps with, so that it takes fewer
/// requests.
const MOST_RUNS: usize = 4;

/// Maps the memory of a region where that makes copies needless.
pub(super) fn open(plan: &Plan, region: &Region, memory: &Memory, file: &SnapshotFile) -> Option<InPlace> {
    let area = region.area;
    // A storage that is no file may look into the bytes it is given.
    let usable = file.buffered.file().is_some()
        && plan.direction != Direction::Scan
        && !region.store_zero_pages
        && region.only.is_none()
        && area.page_size == PAGE
        && region.memory_offset.is_multiple_of(PAGE)
        && area.length > 0;
    let end = region.memory_offset.checked_add(area.length).filter(|_| usable)?;
    memory.in_place(end, plan.direction == Direction::Load)
}

/// Lends a window's memory to its slot. Returns false when the bytes have to be copied.
pub(super) fn lend(
    region: &OpenRegion,
    window: &Window,
    requests: &mut Requests<'_>,
    slot: usize,
) -> Result<bool> {
    let Some(memory) = &region.in_place else {
        return Ok(false);
    };
    let length = in_memory(window.length)?;
    // Memory that has become shorter is an error of the copy.
    Ok(memory
        .lend(region.memory_offset + window.start, length)
        .is_ok_and(|loan| requests.lend(slot, loan)))
}

/// The eyes of one channel of a save.
#[derive(Debug)]
pub(super) struct Look {
    /// `None` where every window is copied.
    heads: Option<Heads>,
    /// True while nearly all of the memory that was met last held data, in few runs. Pages that may be zero are copied
    /// after the look, so that many of them cost more than a copy of everything.
    dense: bool,
}

impl Look {
    pub(super) fn new(regions: &[OpenRegion]) -> Self {
        let useful = regions.iter().any(|region| region.in_place.is_some());
        Self {
            // Without a pipe everything is copied, which is slower and no less right.
            heads: useful.then(Heads::new).and_then(std::io::Result::ok),
            dense: true,
        }
    }

    /// Takes note of how much of a window was data.
    pub(super) fn learn(&mut self, window: &Window, runs: &[Range<usize>]) {
        let few_zeros = bytes_of(runs) >= window.length - window.length / MOST_BLANK;
        self.dense = few_zeros && runs.len() <= MOST_RUNS;
    }

    /// Lists the ranges of a window that are to be written and lends their memory to the slot. `None` when the window is
    /// to be copied.
    pub(super) fn runs(
        &mut self,
        shared: &Shared,
        window: &Window,
        requests: &mut Requests<'_>,
        slot: usize,
    ) -> Result<Option<Vec<Range<usize>>>> {
        let region = &shared.regions[window.region];
        let (Some(heads), Some(memory), true) = (&mut self.heads, &region.in_place, self.dense) else {
            return Ok(None);
        };
        let offset = region.memory_offset + window.start;
        if !exists(region, memory, offset, window.length) {
            return Ok(None);
        }
        let (length, page) = (in_memory(window.length)?, shared.page_bytes);
        let Ok(loan) = memory.lend(offset, length) else {
            return Ok(None);
        };
        let blank = heads.look(memory, offset, page, length / page);
        let suspects = blank
            .as_ref()
            .map_or(0, |blank| blank.iter().filter(|zero| **zero).count() * page);
        // A copy says in full what is wrong with memory that cannot be looked at.
        let Some(mut blank) = blank
            .ok()
            .filter(|_| suspects as u64 <= window.length / MOST_BLANK)
        else {
            return Ok(None);
        };
        let suspects = runs_of(blank.iter().copied(), page, length);
        let bytes = requests.bytes(slot, length)?;
        for run in suspects {
            let first = run.start / page;
            let copied = &mut bytes[run.clone()];
            region.memory.read(copied, offset + run.start as u64)?;
            for (mark, content) in blank[first..].iter_mut().zip(copied.chunks(page)) {
                *mark = is_zero(content);
            }
        }
        let runs = runs_of(blank.iter().map(|zero| !zero), page, length);
        if runs.len() > MOST_RUNS {
            return Ok(None);
        }
        if !requests.lend(slot, loan) {
            self.heads = None;
            return Ok(None);
        }
        Ok(Some(runs))
    }
}

/// Says whether a look fills no hole. Files of huge pages do not tell their holes; a byte that is not zero does.
fn exists(region: &OpenRegion, memory: &InPlace, offset: u64, length: u64) -> bool {
    let huge = memory.huge_page();
    let end = offset + length;
    let mut start = offset;
    while start < end {
        let next = (start - start % huge + huge).min(end);
        let step = ((next - start) / PROBES).max(PAGE);
        let found = (start..next)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .any(|place| {
                let mut head = [0; 64];
                let head = &mut head[..usize::try_from(next - place).unwrap_or(usize::MAX).min(64)];
                region.memory.read(head, place).is_ok() && !is_zero(head)
            });
        if !found {
            return false;
        }
        start = next;
    }
    true
}
