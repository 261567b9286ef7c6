//! Comparisons: what became of each page from one snapshot to another, or to a guest's memory. They read the pages
//! whose bits are set and nothing else, and write nothing.

mod pages;
mod plan;
mod windows;

use std::sync::Arc;
use std::time::Instant;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{DirectState, PageArea, SnapshotFile, SnapshotSpec, read_bitmap};
use crate::memory::Memory;
use crate::pages::Differences;
use crate::queue::{self, QueueFactory};
use crate::run::{Controls, Report, RunState, Setup};
use crate::tuning::{Bound, Work};

use pages::Sides;
pub use plan::{ComparePlan, Compared, Right};
use windows::{OpenBlock, OpenPages, OpenRight, Shared};

/// The outcome of a finished comparison.
#[derive(Debug)]
pub struct CompareReport {
    /// The report's `data_bytes` are the set pages that were read, of both sides.
    pub report: Report,
    /// The differences of each block.
    pub differences: Vec<Differences>,
}

/// A comparison that is ready to run.
#[derive(Debug)]
pub struct Comparison {
    plan: ComparePlan,
    controls: Controls,
}

impl Comparison {
    pub fn new(plan: ComparePlan) -> Self {
        let controls = Controls::new(plan.blocks.iter().map(|block| block.left.length));
        Self { plan, controls }
    }

    /// The controls of the run, which the caller takes before it.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Runs to the end, on this thread and the channels' own.
    /// # Errors
    /// the first error that a channel met; every thread has ended and every descriptor is closed by then
    pub fn run(self) -> Result<CompareReport> {
        let engine = self.plan.tuning.io_engine;
        self.run_with(&move |count, file, options| queue::make_queues(engine, count, file, options))
    }

    /// Does as `run`, with queues from elsewhere: first those of the left file, then those of the right one.
    pub fn run_with(self, make_queues: &QueueFactory<'_>) -> Result<CompareReport> {
        let started = Instant::now();
        let plan = &self.plan;
        plan.check()?;
        let page_size = plan.page_size()?;
        let open = |spec: &SnapshotSpec| {
            SnapshotFile::open(spec, false, plan.tuning.direct_io, plan.tuning.alignment)
        };
        let mut left = open(&plan.left)?;
        let mut right = plan.right.as_ref().map(open).transpose()?;
        let blocks: Vec<OpenBlock> = plan
            .blocks
            .iter()
            .map(|block| open_block(block, &left, right.as_ref()))
            .collect::<Result<_>>()?;
        left.look(blocks.iter().map(|block| (&block.left.area, &block.left.bitmap)));
        if let Some(right) = &mut right {
            right.look(blocks.iter().filter_map(OpenBlock::right_pages));
        }
        let (left, right) = (Arc::new(left), right.map(Arc::new));
        let lengths = plan.blocks.iter().map(|block| block.left.length);
        let bound = Bound::of_reading(&left);
        let work = Work {
            with_rings: plan.snapshots().all(SnapshotSpec::is_file),
            queues_direct: left.queues_direct_requests()
                && right.as_deref().is_none_or(SnapshotFile::queues_direct_requests),
            bound: right
                .as_deref()
                .map_or(bound, |right| bound.and(Bound::of_reading(right))),
        };
        let setup = Setup::new(started, &plan.tuning, lengths, work, self.controls);
        let (left_queues, mut engine) = make_queues(setup.channels, &left, setup.options)?;
        let mut right_queues = Vec::new();
        if let Some(right) = &right {
            let (queues, right_engine) = make_queues(setup.channels, right, setup.options)?;
            right_queues = queues;
            engine = engine.and(right_engine);
        }
        let mut right_queues = right_queues.into_iter();
        let sides: Vec<Sides> = left_queues
            .into_iter()
            .map(|left| Sides::new(left, right_queues.next(), plan))
            .collect::<Result<_>>()?;
        let direct_io = both_direct(&left, right.as_deref());
        let shared = Shared {
            left,
            right,
            blocks,
            page_size,
            run: RunState::begin(setup, engine),
            cursor: std::sync::Mutex::default(),
        };
        let name = &shared.left.name;
        shared.run.run(name, sides, |sides| pages::run(&shared, sides))?;
        let report = shared.run.report(direct_io);
        let differences = shared.blocks.into_iter().map(|block| block.differences);
        Ok(CompareReport {
            report,
            differences: differences.collect(),
        })
    }
}

fn open_block(block: &Compared, left: &SnapshotFile, right: Option<&SnapshotFile>) -> Result<OpenBlock> {
    let open_pages = |area: PageArea, file: &SnapshotFile| {
        Ok(OpenPages {
            area,
            bitmap: read_bitmap(file.buffered.as_ref(), &file.name, &block.name, &area)?,
        })
    };
    let open_right = match (&block.right, right) {
        (Right::Pages(area), Some(file)) => OpenRight::Pages(open_pages(*area, file)?),
        (Right::Pages(_), None) => {
            return Err(EngineError::new(ErrorKind::Internal, "no right snapshot"));
        }
        (Right::Memory { memory, offset }, _) => {
            let memory = Memory::open(memory, false)?;
            memory.require(*offset, block.left.length, false)?;
            OpenRight::Memory {
                memory,
                offset: *offset,
            }
        }
    };
    let differences = Differences::try_new(block.left.pages())
        .ok_or_else(|| block.left.too_large(&block.name).on(&left.name))?;
    Ok(OpenBlock {
        left: open_pages(block.left, left)?,
        right: open_right,
        differences,
    })
}

fn both_direct(left: &SnapshotFile, right: Option<&SnapshotFile>) -> DirectState {
    let Some(right) = right.filter(|right| right.state.why != left.state.why) else {
        return left.state.clone();
    };
    DirectState {
        on: left.state.on && right.state.on,
        why: format!(
            "{}: {}; {}: {}",
            left.name, left.state.why, right.name, right.state.why
        ),
    }
}
