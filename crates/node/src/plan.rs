//! A transfer's plan as JavaScript hands it over.

use std::sync::Arc;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::PageArea;
use mapped_ram_engine::memory::{ByteMemory, MemorySpec};
use mapped_ram_engine::{BaseBits, Direction, Only, Plan, Region};
use napi::bindgen_prelude::{Float64Array, Uint8Array};
use napi_derive::napi;

use crate::plan_parts::{BindingEngineOptions, BindingMemory, BindingPageArea, BindingSnapshot, TakenMemory};
use crate::values::{invalid, ranges};

#[napi(object, object_to_js = false)]
pub struct BindingPlan {
    #[napi(ts_type = "'save' | 'load' | 'scan'")]
    pub direction: String,
    pub snapshot: BindingSnapshot,
    /// The regions, which all have the same page size.
    pub regions: Vec<BindingRegion>,
    /// The size in bytes of the blocks' pieces, of which a save or a scan makes digests.
    pub piece_size: Option<u32>,
    pub options: BindingEngineOptions,
}

/// One block: where its memory is, and where it lies in the snapshot.
#[napi(object, object_to_js = false)]
pub struct BindingRegion {
    pub name: String,
    /// A scan has no memory.
    pub memory: Option<BindingMemory>,
    pub area: BindingPageArea,
    pub store_zero_pages: Option<bool>,
    /// The pages that a save is limited to.
    pub only: Option<BindingOnly>,
    pub memory_is_zero: Option<bool>,
}

/// Pages of a block: exactly one of `runs` and `bitmap`.
#[napi(object, object_to_js = false)]
pub struct BindingOnly {
    /// Offset and length of each run in turn, in bytes from the start of the block.
    pub runs: Option<Float64Array>,
    /// A bitmap as the file has it.
    pub bitmap: Option<Uint8Array>,
    /// The bits of the other pages, as the file has them. Without them these bits are clear, or stay in place.
    pub base: Option<Uint8Array>,
    pub base_in_place: bool,
}

impl BindingPlan {
    /// Turns into the engine's plan, and the buffers to give back, one place per region.
    pub(crate) fn into_plan(self) -> Result<(Plan, Vec<Option<Arc<ByteMemory>>>)> {
        let direction = match self.direction.as_str() {
            "save" => Direction::Save,
            "load" => Direction::Load,
            "scan" => Direction::Scan,
            other => return Err(invalid("direction", "save, load or scan", other)),
        };
        let mut buffers = Vec::with_capacity(self.regions.len());
        let mut regions = Vec::with_capacity(self.regions.len());
        for region in self.regions {
            let (region, buffer) = region.into_region(direction)?;
            regions.push(region);
            buffers.push(buffer);
        }
        let mut plan = Plan::new(direction, self.snapshot.into_spec()?, regions);
        plan.tuning = self.options.into_tuning()?;
        Ok((plan, buffers))
    }
}

impl BindingRegion {
    fn into_region(self, direction: Direction) -> Result<(Region, Option<Arc<ByteMemory>>)> {
        let memory = match self.memory {
            Some(memory) => memory.into_memory(&self.name)?,
            None if direction == Direction::Scan => TakenMemory {
                spec: MemorySpec::None,
                offset: 0,
                buffer: None,
            },
            None => return Err(invalid(&self.name, "a memory", "none")),
        };
        let area = self.area.into_area()?;
        let region = Region {
            memory: memory.spec,
            memory_offset: memory.offset,
            only: self
                .only
                .map(|only| only.into_only(&self.name, &area))
                .transpose()?,
            area,
            store_zero_pages: self.store_zero_pages.unwrap_or(false),
            memory_is_zero: self.memory_is_zero.unwrap_or(false),
            name: self.name,
        };
        Ok((region, memory.buffer))
    }
}

impl BindingOnly {
    fn into_only(self, name: &str, area: &PageArea) -> Result<Only> {
        let base = match self.base {
            Some(bytes) => BaseBits::of_bytes(name, area, &bytes)?,
            None if self.base_in_place => BaseBits::InPlace,
            None => BaseBits::Clear,
        };
        match (self.runs, self.bitmap) {
            (Some(runs), None) => Only::of_runs(name, area, &ranges("run", &runs)?, base),
            (None, Some(bytes)) => Only::of_bitmap(name, area, &bytes, base),
            _ => Err(invalid(name, "exactly one of runs and a bitmap", "none or both")),
        }
    }
}
