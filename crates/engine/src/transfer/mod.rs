//! All channels of one transfer: allocate everything, then start; first error wins; all joined at the end.

#[cfg(target_os = "linux")]
mod in_place;
mod load;
mod mask;
#[cfg(not(target_os = "linux"))]
mod never_in_place;
mod only;
mod plan;
mod runs;
mod save;
mod visitor;
mod windows;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{SnapshotFile, read_bitmap};
use crate::memory::Memory;
use crate::pages::{AtomicBitmap, Bitmap};
use crate::queue::{self, Queue, QueueFactory};
use crate::requests::Requests;
use crate::run::{Controls, Report, RunState, Setup};
use crate::tuning::{Bound, Work};

use in_place::Look;
#[cfg(not(target_os = "linux"))]
use never_in_place as in_place;
pub use only::{BaseBits, Only};
pub use plan::{Direction, Plan, Region};
#[cfg(feature = "counted")]
pub(crate) use runs::data_runs;
pub use visitor::{Pages, Visitor};
use windows::{OpenRegion, Shared};

/// A transfer that is ready to run.
#[derive(Debug)]
pub struct Transfer {
    plan: Plan,
    controls: Controls,
    visitor: Option<Arc<dyn Visitor>>,
}

impl Transfer {
    pub fn new(plan: Plan) -> Self {
        let controls = Controls::new(plan.regions.iter().map(|region| region.area.length));
        Self {
            plan,
            controls,
            visitor: None,
        }
    }

    /// Lets a visitor look at every page that is moved.
    #[must_use]
    pub fn visited_by(mut self, visitor: Arc<dyn Visitor>) -> Self {
        self.visitor = Some(visitor);
        self
    }

    /// The controls of the run, which the caller takes before it.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Runs to the end, on this thread and the channels' own.
    /// # Errors
    /// the first error that a channel met; every thread has ended and every descriptor is closed by then
    pub fn run(self) -> Result<Report> {
        let engine = self.plan.tuning.io_engine;
        let make = match self.plan.direction {
            Direction::Save => queue::make_queues_for_save,
            Direction::Load | Direction::Scan => queue::make_queues,
        };
        self.run_with(&move |count, file, options| make(engine, count, file, options))
    }

    /// Does as `run`, with queues from elsewhere.
    pub fn run_with(self, make_queues: &QueueFactory<'_>) -> Result<Report> {
        let started = Instant::now();
        let plan = &self.plan;
        plan.check()?;
        let page_size = plan.page_size()?;
        let unit = match &self.visitor {
            Some(visitor) => {
                mask::refuse_visitor(plan)?;
                visitor::check_unit(visitor.unit(), page_size, plan)?
            }
            None => page_size,
        };
        let save = plan.direction == Direction::Save;
        let mut file =
            SnapshotFile::open(&plan.snapshot, save, plan.tuning.direct_io, plan.tuning.alignment)?;
        // The memories are told apart before the first of them grows.
        let memories: Vec<Memory> = plan
            .regions
            .iter()
            .map(|region| Memory::open(&region.memory, plan.direction == Direction::Load))
            .collect::<Result<_>>()?;
        check_files(plan, &memories, &file)?;
        let regions: Vec<OpenRegion> = plan
            .regions
            .iter()
            .zip(memories)
            .map(|(region, memory)| open_region(plan, region, memory, &file, self.visitor.is_none()))
            .collect::<Result<_>>()?;
        if !save {
            file.look(regions.iter().map(|region| (&region.area, &region.bitmap)));
        }
        let file = Arc::new(file);
        let lengths = regions.iter().map(OpenRegion::work);
        let work = Work {
            with_rings: plan.snapshot.is_file(),
            queues_direct: file.queues_direct_requests(),
            bound: match plan.direction {
                Direction::Save => Bound::of_saving(&file),
                Direction::Load => Bound::of_loading(&file),
                Direction::Scan => Bound::of_reading(&file),
            },
        };
        let setup = Setup::new(started, &plan.tuning, lengths, work, self.controls);
        let (queues, engine) = make_queues(setup.channels, &file, setup.options)?;
        let direct_io = file.state.clone();
        let channels: Vec<_> = queues
            .into_iter()
            .map(|queue| (queue, Look::new(&regions)))
            .collect();
        let shared = Shared {
            direction: plan.direction,
            file,
            regions,
            page_size,
            unit,
            visitor: self.visitor,
            page_bytes: usize::try_from(page_size).unwrap_or(usize::MAX),
            run: RunState::begin(setup, engine),
            unfinished: AtomicUsize::new(channels.len()),
            cursor: Mutex::default(),
        };
        let name = &shared.file.name;
        shared
            .run
            .run(name, channels, |(queue, look)| run_channel(&shared, queue, look))?;
        Ok(shared.run.report(direct_io))
    }
}

/// Runs one channel to its end. Nothing is in flight when it returns, whatever happened.
fn run_channel(shared: &Shared, queue: Box<dyn Queue>, look: Look) -> Result<()> {
    let mut requests = Requests::start(&shared.file, shared.run.options, queue)?;
    let result = match shared.direction {
        Direction::Save => save::run(shared, &mut requests, look),
        Direction::Load | Direction::Scan => load::run(shared, &mut requests),
    };
    // The buffers may only go when the kernel is done with them.
    let drained = requests.drain();
    shared.run.count(requests.counts());
    result.and(drained)
}

/// Refuses memory that is the snapshot itself, and a load that would write to the same memory twice. Only open files
/// show whether they are the same: names may differ.
fn check_files(plan: &Plan, memories: &[Memory], file: &SnapshotFile) -> Result<()> {
    let snapshot = file.identity();
    let mut ranges = Vec::new();
    for (region, memory) in plan.regions.iter().zip(memories) {
        let Some(identity) = memory.identity() else {
            continue;
        };
        if snapshot == Some(identity) {
            let message = format!("the memory of block {} is the snapshot file itself", region.name);
            return Err(EngineError::new(ErrorKind::InvalidArgument, message).on(&file.name));
        }
        if region.area.length > 0 {
            let end = region.memory_offset.saturating_add(region.area.length);
            ranges.push((identity, region.memory_offset, end, &region.name));
        }
    }
    if plan.direction != Direction::Load {
        // Several blocks may be saved from the same memory.
        return Ok(());
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [left, right] = pair
            && left.0 == right.0
            && right.1 < left.2
        {
            let message = format!(
                "the memory of block {} ({}..{}) overlaps the memory of block {} ({}..{}) in the same file",
                left.3, left.1, left.2, right.3, right.1, right.2
            );
            return Err(EngineError::new(ErrorKind::InvalidArgument, message));
        }
    }
    Ok(())
}

/// Reads or makes a region's bitmap and has its memory ready.
fn open_region(
    plan: &Plan,
    region: &Region,
    memory: Memory,
    file: &SnapshotFile,
    unseen: bool,
) -> Result<OpenRegion> {
    let save = plan.direction == Direction::Save;
    let area = region.area;
    let bitmap = if save {
        Bitmap::default()
    } else {
        read_bitmap(file.buffered.as_ref(), &file.name, &region.name, &area)?
    };
    let grow = plan.direction == Direction::Load;
    memory.require(region.memory_offset, region.area.length, grow)?;
    let too_large = || area.too_large(&region.name).on(&file.name);
    let written = AtomicBitmap::try_new(if save { area.pages() } else { 0 }).ok_or_else(too_large)?;
    if let Some(only) = &region.only {
        only.keep_base(file, &region.name, &area, &written)?;
    }
    let mask = if save {
        mask::mask(region, &memory, file)?
    } else {
        None
    };
    Ok(OpenRegion {
        #[cfg(target_os = "linux")]
        in_place: in_place::open(plan, region, &memory, file).filter(|_| unseen),
        memory,
        memory_offset: region.memory_offset,
        area,
        store_zero_pages: region.store_zero_pages,
        is_limited: region.only.is_some(),
        mask,
        memory_is_zero: region.memory_is_zero,
        written,
        bitmap,
    })
}
