//! Guest memory → snapshot: read a window, drop its zero pages, write the runs that are left.

use std::ops::Range;

use super::in_place::Look;
use super::runs::{bytes_of, data_runs, fill_gaps, runs_of};
use super::windows::{OpenRegion, Shared, Window};
use crate::error::Result;
use crate::pages::{Bitmap, is_zero};
use crate::queue::Action;
use crate::requests::Requests;
use crate::run::{in_memory, set_runs};

pub(super) fn run(shared: &Shared, requests: &mut Requests<'_>, mut look: Look) -> Result<()> {
    loop {
        shared.check_stop()?;
        let slot = match requests.take_free() {
            Some(slot) => slot,
            None => requests.wait_slot()?,
        };
        let Some(window) = shared.next_window()? else {
            requests.give_back(slot);
            break;
        };
        let region = &shared.regions[window.region];
        let lent = look.runs(shared, &window, requests, slot)?;
        let is_lent = lent.is_some();
        let runs = match lent {
            Some(runs) => runs,
            None => copy(shared, requests, &window, slot)?,
        };
        look.learn(&window, &runs);
        shared.run.progress.count(window.length, bytes_of(&runs));
        // Memory that the caller lets change meanwhile may hold no zeros any more, and pages that are to stay as they are
        // hold other data. A copy of everything does.
        let joined = if is_lent || region.is_limited {
            runs.clone()
        } else {
            join(shared, requests, &window, slot, &runs)?
        };
        for run in joined {
            let offset = region.area.pages_offset + window.start + run.start as u64;
            requests.add(Action::Write, slot, run.start, run.len(), offset)?;
        }
        for run in &runs {
            region.set_pages(shared, window.start + run.start as u64, run.len() as u64);
        }
        if runs.is_empty() {
            requests.give_back(slot);
        } else {
            requests.flush()?;
        }
    }
    while requests.has_open() {
        shared.check_stop()?;
        let slot = requests.wait_slot()?;
        requests.give_back(slot);
    }
    // Page bits reach the file after the pages they vouch for: the last channel to finish writes them.
    if shared.finish_pages() {
        write_bitmaps(shared, requests)
    } else {
        Ok(())
    }
}

/// Copies a window into its slot, and lists the ranges that are to be written.
fn copy(
    shared: &Shared,
    requests: &mut Requests<'_>,
    window: &Window,
    slot: usize,
) -> Result<Vec<Range<usize>>> {
    let region = &shared.regions[window.region];
    let bytes = requests.bytes(slot, in_memory(window.length)?)?;
    let runs = match &region.mask {
        None => {
            region.memory.read(bytes, region.memory_offset + window.start)?;
            data_runs(bytes, shared.page_bytes, region.store_zero_pages)
        }
        Some(mask) => copy_masked(shared, window, mask, bytes)?,
    };
    // The visitor comes before the writes: nobody can look at a buffer in flight.
    shared.visit(window, bytes, &runs)?;
    Ok(runs)
}

/// Copies the pages of a window that are to be read, and no others. Zero pages among them lose what the snapshot has in
/// their place when the others keep theirs.
fn copy_masked(
    shared: &Shared,
    window: &Window,
    mask: &Bitmap,
    bytes: &mut [u8],
) -> Result<Vec<Range<usize>>> {
    let region = &shared.regions[window.region];
    let page = shared.page_bytes;
    let wanted = set_runs(mask, shared.page_size, window.start..window.start + window.length)
        .into_iter()
        .map(|run| Ok(in_memory(run.start)?..in_memory(run.end)?))
        .collect::<Result<Vec<_>>>()?;
    region
        .memory
        .read_runs(bytes, region.memory_offset + window.start, &wanted)?;
    if region.store_zero_pages {
        return Ok(wanted);
    }
    let mut data = Vec::new();
    for run in wanted {
        let marks = bytes[run.clone()].chunks(page).map(|content| !is_zero(content));
        let found = runs_of(marks, page, run.len());
        let mut done = 0;
        for found in found.iter().cloned().chain(std::iter::once(run.len()..run.len())) {
            if region.is_limited && done < found.start {
                let start = window.start + (run.start + done) as u64;
                let length = (found.start - done) as u64;
                shared.file.clear(region.area.pages_offset + start, length)?;
            }
            done = found.end;
        }
        data.extend(
            found
                .into_iter()
                .map(|found| run.start + found.start..run.start + found.end),
        );
    }
    Ok(data)
}

/// Joins runs with small gaps between them, which hold zeros.
fn join(
    shared: &Shared,
    requests: &mut Requests<'_>,
    window: &Window,
    slot: usize,
    runs: &[Range<usize>],
) -> Result<Vec<Range<usize>>> {
    let joined = fill_gaps(runs);
    if shared.regions[window.region].mask.is_some() && joined.len() < runs.len() {
        let bytes = requests.bytes(slot, in_memory(window.length)?)?;
        for pair in runs.windows(2) {
            // A gap that is not written may be zeros as well.
            if let [left, right] = pair {
                bytes[left.end..right.start].fill(0);
            }
        }
    }
    Ok(joined)
}

fn write_bitmaps(shared: &Shared, requests: &mut Requests<'_>) -> Result<()> {
    for region in &shared.regions {
        write_bitmap(shared, requests, region)?;
    }
    while requests.has_open() {
        let slot = requests.wait_slot()?;
        requests.give_back(slot);
    }
    Ok(())
}

fn write_bitmap(shared: &Shared, requests: &mut Requests<'_>, region: &OpenRegion) -> Result<()> {
    let total = region.written.len_bytes();
    let mut done = 0;
    while done < total {
        shared.check_stop()?;
        let slot = match requests.take_free() {
            Some(slot) => slot,
            None => requests.wait_slot()?,
        };
        let piece = (total - done).min(shared.run.options.slot_size as u64);
        let length = in_memory(piece)?;
        region.written.copy_bytes(done, requests.bytes(slot, length)?);
        requests.add_buffered(Action::Write, slot, length, region.area.bitmap_offset + done)?;
        requests.flush()?;
        done += piece;
    }
    Ok(())
}
