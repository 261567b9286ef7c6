//! The pages that a save reads, as far as they are known before it reads any.

use std::ops::Range;

use super::only::bitmap_of;
use super::plan::{Plan, Region};
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::extents::next_extent;
use crate::file::{PageArea, SnapshotFile};
use crate::memory::Memory;
use crate::pages::Bitmap;

/// Finds the pages of a region that a save reads, where that is known before. `None` where the memory tells as it goes,
/// and where every page is read.
pub(super) fn mask(region: &Region, memory: &Memory, file: &SnapshotFile) -> Result<Option<Bitmap>> {
    let Region {
        area, memory_offset, ..
    } = region;
    if let Some(only) = &region.only {
        let mut pages = bitmap_of(&region.name, area)?;
        let page = area.page_size;
        let data = data_pages(region, memory, file)?;
        for run in only.pages.runs(0..area.pages()) {
            match &data {
                Some(data) => data.runs(run).for_each(|part| pages.set(part)),
                None => pages.set(run),
            }
        }
        let runs = pages.runs(0..area.pages());
        memory.require_runs(*memory_offset, runs.map(|run| run.start * page..run.end * page))?;
        return Ok(Some(pages));
    }
    if region.store_zero_pages {
        return Ok(None);
    }
    let Some(stretches) = memory.stretches(*memory_offset, area.length)? else {
        return Ok(None);
    };
    let mut pages = bitmap_of(&region.name, area)?;
    for stretch in stretches {
        pages.set(stretch.start / area.page_size..stretch.end.div_ceil(area.page_size));
    }
    Ok(Some(pages))
}

/// Finds the pages that are not in a hole of the memory and of the snapshot alike: those in both are zero, and have
/// neither a bit nor a byte in the snapshot to be taken away. `None` where all pages count.
fn data_pages(region: &Region, memory: &Memory, file: &SnapshotFile) -> Result<Option<Bitmap>> {
    let Region {
        area, memory_offset, ..
    } = region;
    let Some(snapshot) = file.buffered.file().filter(|_| !region.store_zero_pages) else {
        return Ok(None);
    };
    let in_memory = |at: u64| {
        let data = memory.next_data(memory_offset + at);
        Some(data.start.saturating_sub(*memory_offset)..data.end.saturating_sub(*memory_offset))
    };
    let in_snapshot = |at: u64| {
        let data = next_extent(snapshot, area.pages_offset + at)?;
        Some(data.start.saturating_sub(area.pages_offset)..data.end.saturating_sub(area.pages_offset))
    };
    let mut pages = bitmap_of(&region.name, area)?;
    set_stretches(&mut pages, area, in_memory);
    set_stretches(&mut pages, area, in_snapshot);
    Ok(Some(pages))
}

/// Sets the pages of all stretches. `next` finds the next one at or after an offset in the block; `None` is no more.
fn set_stretches(pages: &mut Bitmap, area: &PageArea, next: impl Fn(u64) -> Option<Range<u64>>) {
    let mut at = 0;
    while at < area.length {
        let Some(Range { start, end }) = next(at).filter(|found| found.start < area.length) else {
            return;
        };
        // Data that has become a hole meanwhile may leave a stretch empty.
        let last = end
            .min(area.length)
            .div_ceil(area.page_size)
            .max(start / area.page_size + 1);
        pages.set(start / area.page_size..last);
        at = last * area.page_size;
    }
}

/// A visitor sees every page that the snapshot has, and a save of some pages has not read the others.
pub(super) fn refuse_visitor(plan: &Plan) -> Result<()> {
    match plan.regions.iter().find(|region| region.only.is_some()) {
        Some(region) => Err(EngineError::new(
            ErrorKind::InvalidArgument,
            format!(
                "block {}: a save of some pages cannot make digests, which are of whole pieces",
                region.name
            ),
        )),
        None => Ok(()),
    }
}
