//! The pages that a save reads, as far as they are known before it reads any.

use super::only::bitmap_of;
use super::plan::{Plan, Region};
use crate::error::{EngineError, ErrorKind, Result};
use crate::memory::Memory;
use crate::pages::Bitmap;

/// Finds the pages of a region that a save reads, where that is known before. `None` where the memory tells as it goes,
/// and where every page is read.
pub(super) fn mask(region: &Region, memory: &Memory) -> Result<Option<Bitmap>> {
    let Region {
        area, memory_offset, ..
    } = region;
    if let Some(only) = &region.only {
        let mut pages = bitmap_of(&region.name, area)?;
        let page = area.page_size;
        for run in only.pages.runs(0..area.pages()) {
            pages.set(run);
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
