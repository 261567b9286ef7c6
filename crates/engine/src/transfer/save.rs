//! Guest memory → snapshot: read a window, drop its zero pages, write the runs that are left.

use std::ops::Range;

use super::windows::{OpenRegion, Shared};
use crate::error::Result;
use crate::pages::is_zero;
use crate::queue::Action;
use crate::requests::Requests;
use crate::run::in_memory;

pub(super) fn run(shared: &Shared, requests: &mut Requests<'_>) -> Result<()> {
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
        let length = in_memory(window.length)?;
        let bytes = requests.bytes(slot, length)?;
        region.memory.read(bytes, region.memory_offset + window.start)?;
        let runs = data_runs(bytes, shared.page_bytes, region.store_zero_pages);
        // The visitor comes before the writes: nobody can look at a buffer in flight.
        shared.visit(&window, bytes, &runs)?;
        shared.run.progress.count(window.length, data_bytes(&runs));
        for run in &runs {
            let offset = region.area.pages_offset + window.start + run.start as u64;
            requests.add(Action::Write, slot, run.start, run.len(), offset)?;
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

/// Lists the byte ranges of adjacent pages that are to be written.
pub(crate) fn data_runs(bytes: &[u8], page: usize, store_zero_pages: bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, content) in bytes.chunks(page).enumerate() {
        if !store_zero_pages && is_zero(content) {
            continue;
        }
        let start = index * page;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = start + content.len(),
            _ => runs.push(start..start + content.len()),
        }
    }
    runs
}

fn data_bytes(runs: &[Range<usize>]) -> u64 {
    runs.iter().map(|run| run.len() as u64).sum()
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

#[cfg(test)]
mod tests {
    use super::data_runs;

    #[test]
    fn adjacent_data_pages_form_one_run() {
        let mut bytes = vec![0; 6 * 4096];
        for page in [0, 1, 3, 5] {
            bytes[page * 4096 + 17] = 1;
        }
        assert_eq!(
            data_runs(&bytes, 4096, false),
            [0..8192, 12288..16384, 20480..24576]
        );
    }

    #[test]
    fn stored_zero_pages_make_one_run_of_everything() {
        assert_eq!(
            data_runs(&[0; 3 * 4096], 4096, true),
            std::slice::from_ref(&(0..3 * 4096))
        );
    }
}
