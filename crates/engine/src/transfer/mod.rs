//! All channels of one transfer: allocate everything, then start; first error wins; all joined at the end.

mod progress;
mod shared;
mod visitor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::channel;
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{DirectState, SnapshotFile, position};
use crate::memory::Memory;
use crate::pages::{AtomicBitmap, Bitmap, bitmap_bytes};
use crate::plan::{DEFAULT_MAX_RINGS, DEFAULT_THREAD_CHANNELS, Direction, EngineChoice, Plan, Region};
use crate::queue::{self, EngineState, Queue, QueueOptions};

pub use progress::{CancelToken, Progress};
pub(crate) use shared::{OpenRegion, Shared, Window};
pub use visitor::{Pages, Visitor};

/// What a finished transfer says of itself.
#[derive(Debug, Clone)]
pub struct Report {
    pub engine: EngineState,
    pub direct_io: DirectState,
    pub channels: usize,
    pub queue_depth: usize,
    pub request_size: usize,
    /// Guest memory covered, in bytes.
    pub bytes: u64,
    /// Bytes of pages that were written or read; the rest were zero pages.
    pub data_bytes: u64,
    pub elapsed: Duration,
}

/// Makes the queues of a transfer. Tests put a faulty one in its place.
pub type QueueFactory<'a> =
    dyn Fn(usize, &Arc<SnapshotFile>, QueueOptions) -> Result<(Vec<Box<dyn Queue>>, EngineState)> + 'a;

/// A transfer that is ready to run.
#[derive(Debug)]
pub struct Transfer {
    plan: Plan,
    cancel: CancelToken,
    progress: Arc<Progress>,
    visitor: Option<Arc<dyn Visitor>>,
}

impl Transfer {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            cancel: CancelToken::default(),
            progress: Arc::default(),
            visitor: None,
        }
    }

    /// Lets a visitor look at every page that is moved.
    #[must_use]
    pub fn visited_by(mut self, visitor: Arc<dyn Visitor>) -> Self {
        self.visitor = Some(visitor);
        self
    }

    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs to the end on this thread and the channels' own.
    /// # Errors
    /// the first one that a channel met; every thread has ended and every descriptor is closed by then
    pub fn run(self) -> Result<Report> {
        let engine = self.plan.engine;
        self.run_with(&move |count, file, options| queue::make_queues(engine, count, file, options))
    }

    /// As `run`, with queues from elsewhere.
    pub fn run_with(self, make_queues: &QueueFactory<'_>) -> Result<Report> {
        let started = Instant::now();
        let plan = &self.plan;
        plan.check()?;
        let unit = match &self.visitor {
            Some(visitor) => visitor::check_unit(visitor.unit(), plan)?,
            None => plan.page_size,
        };
        let save = plan.direction == Direction::Save;
        let file = Arc::new(SnapshotFile::open(
            &plan.snapshot,
            save,
            plan.direct_io,
            plan.alignment,
        )?);
        // All of them are told apart before the first is grown.
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
            .map(|(region, memory)| open_region(plan, region, memory, &file))
            .collect::<Result<_>>()?;
        let total = plan.regions.iter().map(|region| region.length).sum();
        self.progress.set_total(total);

        let channels = channel_count(plan);
        let queue_options = QueueOptions {
            depth: plan.queue_depth,
            slots: plan.slots(),
            slot_size: plan.request_size,
        };
        let (queues, engine) = make_queues(channels, &file, queue_options)?;
        let queue_options = QueueOptions {
            slots: engine.slots,
            ..queue_options
        };
        let direct_io = file.state.clone();
        let shared = Shared {
            direction: plan.direction,
            file,
            regions,
            page_size: plan.page_size,
            unit,
            visitor: self.visitor,
            page_bytes: usize::try_from(plan.page_size).unwrap_or(usize::MAX),
            queue_options,
            progress: Arc::clone(&self.progress),
            cancel: self.cancel.clone(),
            stop: AtomicBool::new(false),
            first_error: Mutex::new(None),
            unfinished: AtomicUsize::new(queues.len()),
            cursor: Mutex::default(),
        };
        run_channels(&shared, queues)?;
        Ok(Report {
            engine,
            direct_io,
            channels,
            queue_depth: plan.queue_depth,
            request_size: plan.request_size,
            bytes: total,
            data_bytes: self.progress.data(),
            elapsed: started.elapsed(),
        })
    }
}

/// Refuses memory that is the snapshot itself, and a load that would write to the same memory twice. Only open files
/// show it: names may differ.
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
        if region.length > 0 {
            let end = region.memory_offset.saturating_add(region.length);
            ranges.push((identity, region.memory_offset, end, &region.name));
        }
    }
    if plan.direction != Direction::Load {
        // Memory may be read as often as one likes.
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
fn open_region(plan: &Plan, region: &Region, memory: Memory, file: &SnapshotFile) -> Result<OpenRegion> {
    let save = plan.direction == Direction::Save;
    let bitmap = if save {
        Bitmap::default()
    } else {
        read_bitmap(plan, region, file)?
    };
    let grow = plan.direction == Direction::Load;
    memory.require(region.memory_offset, region.length, grow)?;
    let written = AtomicBitmap::try_new(if save { region.length / plan.page_size } else { 0 })
        .map_err(|_| bitmap_too_large(plan, region).on(&file.name))?;
    Ok(OpenRegion {
        memory,
        memory_offset: region.memory_offset,
        length: region.length,
        pages_offset: region.pages_offset,
        bitmap_offset: region.bitmap_offset,
        store_zero_pages: region.store_zero_pages,
        memory_is_zero: region.memory_is_zero,
        written,
        bitmap,
    })
}

fn read_bitmap(plan: &Plan, region: &Region, file: &SnapshotFile) -> Result<Bitmap> {
    let pages = region.length / plan.page_size;
    let length = bitmap_bytes(pages);
    let size = file
        .buffered
        .metadata()
        .map_err(|error| EngineError::io("reading the size", error).on(&file.name))?
        .len();
    let outside = |what: &str, end: u64| {
        EngineError::new(
            ErrorKind::Truncated,
            format!("the {what} of block {} end outside the file: expected a size of at least {end}, found {size}", region.name),
        )
        .at(&file.name, size)
    };
    // The file's size bounds the allocation, whatever a header said.
    let end = region.bitmap_offset.saturating_add(length);
    if end > size {
        return Err(outside("bitmap", end));
    }
    let mut bytes = Vec::new();
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes.try_reserve_exact(wanted).is_err() {
        // A sparse file may be as large as it likes to say.
        return Err(bitmap_too_large(plan, region).at(&file.name, region.bitmap_offset));
    }
    bytes.resize(wanted, 0);
    let read = position::read_full_at(&file.buffered, &mut bytes, region.bitmap_offset)
        .map_err(|error| EngineError::io("reading the bitmap", error).at(&file.name, region.bitmap_offset))?;
    if read < bytes.len() {
        return Err(outside("bitmap", end));
    }
    let bitmap = Bitmap::try_from_bytes(&bytes, pages)
        .map_err(|_| bitmap_too_large(plan, region).at(&file.name, region.bitmap_offset))?;
    if let Some(last) = bitmap.last_set() {
        let end = region.pages_offset + (last + 1) * plan.page_size;
        if end > size {
            return Err(outside("pages", end));
        }
    }
    Ok(bitmap)
}

fn bitmap_too_large(plan: &Plan, region: &Region) -> EngineError {
    let length = bitmap_bytes(region.length / plan.page_size);
    let message = format!(
        "the bitmap of block {} does not fit in memory: found {length} bytes",
        region.name
    );
    EngineError::new(ErrorKind::OutOfRange, message)
}

/// No channel that would find nothing to do; by default as many as were fastest (docs/performance.md).
fn channel_count(plan: &Plan) -> usize {
    let windows: u64 = plan
        .regions
        .iter()
        .map(|region| region.length.div_ceil(plan.request_size as u64))
        .sum();
    let useful = usize::try_from(windows).unwrap_or(usize::MAX);
    plan.channels
        .unwrap_or_else(|| default_channels(plan.engine))
        .min(useful)
}

fn default_channels(engine: EngineChoice) -> usize {
    if engine == EngineChoice::Threads || queue::probe_io_uring().is_err() {
        // One request in flight each: it takes several to keep a drive busy.
        return DEFAULT_THREAD_CHANNELS;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, DEFAULT_MAX_RINGS)
}

/// Spawns a thread for each queue and lets them go together, once all exist.
fn run_channels(shared: &Shared, queues: Vec<Box<dyn Queue>>) -> Result<()> {
    thread::scope(|scope| {
        let mut gates = Vec::with_capacity(queues.len());
        let mut threads = Vec::with_capacity(queues.len());
        let mut result = Ok(());
        for (index, queue) in queues.into_iter().enumerate() {
            let (open, gate) = mpsc::channel();
            let spawned = thread::Builder::new()
                .name(format!("mapped-ram-{index}"))
                .spawn_scoped(scope, move || run_channel(shared, queue, &gate));
            match spawned {
                Ok(thread) => {
                    gates.push(open);
                    threads.push(thread);
                }
                Err(error) => {
                    // Without their gates the threads that wait at them end.
                    gates.clear();
                    result = Err(EngineError::io("starting a channel's thread", error).on(&shared.file.name));
                    break;
                }
            }
        }
        for gate in gates {
            // A thread that is gone has said why in `first_error`.
            let _ = gate.send(());
        }
        for thread in threads {
            // The scope would wait for the closures only; the threads themselves are to be gone. Panics were caught.
            let _ = thread.join();
        }
        result
    })?;
    let error = shared
        .first_error
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    error.map_or(Ok(()), Err)
}

fn run_channel(shared: &Shared, queue: Box<dyn Queue>, gate: &mpsc::Receiver<()>) {
    if gate.recv().is_err() {
        return;
    }
    let result = catch_unwind(AssertUnwindSafe(|| channel::run(shared, queue)));
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => shared.fail(error),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            shared.fail(EngineError::new(
                ErrorKind::Internal,
                format!("a channel panicked: {words}"),
            ));
        }
    }
}
