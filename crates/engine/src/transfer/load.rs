//! Snapshot → guest memory: read the runs of a window, write them where the guest's RAM is, clear the pages between. A
//! scan only reads, and shows a visitor the pages.

use std::collections::HashMap;
use std::ops::Range;

use super::in_place;
use super::plan::Direction;
use super::windows::{Shared, Window};
use crate::error::Result;
use crate::queue::Action;
use crate::requests::Requests;
use crate::run::{in_memory, merge, set_runs};

/// The contents of a slot while its requests are under way.
struct Filling {
    window: Window,
    /// The runs of set pages, in bytes from the window's start.
    runs: Vec<Range<u64>>,
    /// The kernel reads straight into the guest's memory.
    in_place: bool,
}

pub(super) fn run(shared: &Shared, requests: &mut Requests<'_>) -> Result<()> {
    let mut filling: HashMap<usize, Filling> = HashMap::new();
    loop {
        shared.check_stop()?;
        let slot = match requests.take_free() {
            Some(slot) => slot,
            None => finish_one(shared, requests, &mut filling)?,
        };
        let Some(window) = shared.next_window()? else {
            requests.give_back(slot);
            break;
        };
        let region = &shared.regions[window.region];
        let range = window.start..window.start + window.length;
        let runs = set_runs(&region.bitmap, shared.page_size, range);
        if shared.direction == Direction::Load && !region.memory_is_zero {
            clear_gaps(shared, &window, &runs)?;
        }
        let reads = merge(&runs);
        if reads.is_empty() {
            shared.run.progress.count(window.length, 0);
            requests.give_back(slot);
            continue;
        }
        // Only a window without clear pages between the runs: these must not reach memory.
        let in_place = reads == runs && in_place::lend(region, &window, requests, slot)?;
        for read in &reads {
            let offset = region.area.pages_offset + window.start + read.start;
            let start = in_memory(read.start)?;
            let length = in_memory(read.end - read.start)?;
            requests.add(Action::Read, slot, start, length, offset)?;
        }
        requests.flush()?;
        let filled = Filling {
            window,
            runs,
            in_place,
        };
        filling.insert(slot, filled);
    }
    while requests.has_open() {
        shared.check_stop()?;
        let slot = finish_one(shared, requests, &mut filling)?;
        requests.give_back(slot);
    }
    Ok(())
}

/// Waits for a slot to be read in full and writes its runs to the guest's memory.
fn finish_one(
    shared: &Shared,
    requests: &mut Requests<'_>,
    filling: &mut HashMap<usize, Filling>,
) -> Result<usize> {
    let slot = requests.wait_slot()?;
    if let Some(Filling {
        window,
        runs,
        in_place,
    }) = filling.remove(&slot)
    {
        if !in_place {
            place(shared, requests, slot, &window, &runs)?;
        }
        let data = runs.iter().map(|run| run.end - run.start).sum();
        shared.run.progress.count(window.length, data);
    }
    Ok(slot)
}

/// Shows the runs of a window to the visitor and writes them to the guest's memory.
fn place(
    shared: &Shared,
    requests: &mut Requests<'_>,
    slot: usize,
    window: &Window,
    runs: &[Range<u64>],
) -> Result<()> {
    let region = &shared.regions[window.region];
    let bytes = requests.bytes(slot, in_memory(window.length)?)?;
    let runs = runs
        .iter()
        .map(|run| Ok(in_memory(run.start)?..in_memory(run.end)?))
        .collect::<Result<Vec<_>>>()?;
    shared.visit(window, bytes, &runs)?;
    if shared.direction == Direction::Load {
        for run in runs {
            let offset = region.memory_offset + window.start + run.start as u64;
            region.memory.write(&bytes[run], offset)?;
        }
    }
    Ok(())
}

/// Zeroes the clear pages of a window, in memory that may hold something.
fn clear_gaps(shared: &Shared, window: &Window, runs: &[Range<u64>]) -> Result<()> {
    let region = &shared.regions[window.region];
    let mut position = 0;
    for run in runs
        .iter()
        .cloned()
        .chain(std::iter::once(window.length..window.length))
    {
        if position < run.start {
            region.memory.zero(
                region.memory_offset + window.start + position,
                run.start - position,
            )?;
        }
        position = run.end;
    }
    Ok(())
}
