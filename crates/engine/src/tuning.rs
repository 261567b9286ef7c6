//! The numbers and choices of a run that no file decides: their ranges, and what follows from them.

use std::thread;

use crate::choices::{DirectIo, IoEngine};
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{SnapshotFile, SnapshotSpec, check_page_size};
use crate::queue;

pub const DEFAULT_QUEUE_DEPTH: usize = 16;
pub const DEFAULT_REQUEST_SIZE: usize = 1 << 20;
/// The number of channels that `None` stands for with the threads engine, where a disk takes part: each has one request
/// in flight, and all together have as many as a ring.
pub const DEFAULT_THREAD_CHANNELS: usize = DEFAULT_QUEUE_DEPTH;
/// The most channels that `None` stands for with io_uring, where a disk takes part.
pub const DEFAULT_MAX_RINGS: usize = 4;
/// The number of channels that `None` stands for with the threads engine, where a disk fills memory: a memory file takes
/// one write at a time, and more channels wait for it than work.
pub const DEFAULT_THREAD_LOADS: usize = 4;
/// The most channels that `None` stands for where no disk takes part.
pub const DEFAULT_MAX_IN_MEMORY: usize = 8;
/// The most buffers of a channel that waits for no disk.
const MEMORY_SLOTS: usize = 4;
pub const MAX_CHANNELS: usize = 64;
pub const MAX_QUEUE_DEPTH: usize = 256;
pub const MAX_REQUEST_SIZE: usize = 16 << 20;
/// The most bytes that the buffers have together where the engine chose the number of channels.
const DEFAULT_BUFFERS: usize = 28 << 20;
/// The most bytes that the buffers of `threads` have together where the number of channels was given.
const MOST_THREAD_BUFFERS: usize = 256 << 20;
/// The most bytes that the buffers of all channels may have together: enough for every number of channels with default
/// buffers.
pub const MAX_BUFFERS: usize = MAX_CHANNELS * (DEFAULT_QUEUE_DEPTH + 1) * DEFAULT_REQUEST_SIZE;

/// What the channels of a run wait for, which decides how many there are by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A disk, which is busy with the requests of few channels, and nothing is copied.
    Disk,
    /// A disk, and memory that is filled from it, one write at a time.
    Fills,
    /// A disk, with each request by itself: buffered reads end late, and the kernel reads ahead for each channel.
    PageCache,
    /// A disk and processors: each channel copies pages of memory for the disk.
    Copies,
    /// A file in memory that takes one write at a time. Behind a ring, threads of the kernel's wait for it.
    Turns,
    /// Processors, and no disk is there to wait for.
    Memory,
}

impl Bound {
    /// The bound of a run that reads this snapshot.
    pub(crate) fn of_reading(file: &SnapshotFile) -> Self {
        match file.direct {
            _ if file.is_in_memory() => Self::Memory,
            Some(_) => Self::Disk,
            None => Self::PageCache,
        }
    }

    /// The bound of a run that fills memory from this snapshot.
    pub(crate) fn of_loading(file: &SnapshotFile) -> Self {
        match Self::of_reading(file) {
            Self::Disk => Self::Fills,
            other => other,
        }
    }

    /// The bound of a run that writes the snapshot.
    pub(crate) fn of_saving(file: &SnapshotFile) -> Self {
        if file.is_in_memory() {
            Self::Turns
        } else {
            Self::Copies
        }
    }

    /// The bound of a run that has both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::PageCache, _) | (_, Self::PageCache) => Self::PageCache,
            (Self::Memory, other) => other,
            (other, _) => other,
        }
    }
}

/// The facts of a run that its default number of channels follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// True where io_uring can work on every snapshot.
    pub(crate) with_rings: bool,
    /// True where a channel can have many requests in flight on every snapshot without io_uring, if the kernel lets it.
    pub(crate) queues_direct: bool,
    pub(crate) bound: Bound,
}

/// The number of channels, the sizes and the kinds of I/O of a run. A transfer's plan and a comparison's have one.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// 1 to 64; `None` lets the engine choose.
    pub channels: Option<usize>,
    /// Requests in flight on each channel and each file, 1 to 256.
    pub queue_depth: usize,
    /// The most bytes that one request moves: a multiple of the page size, up to 16 MiB.
    pub request_size: usize,
    pub io_engine: IoEngine,
    pub direct_io: DirectIo,
    /// Overrides the direct I/O alignment that the filesystem states. For tests.
    pub alignment: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            channels: None,
            queue_depth: DEFAULT_QUEUE_DEPTH,
            request_size: DEFAULT_REQUEST_SIZE,
            io_engine: IoEngine::Auto,
            direct_io: DirectIo::Auto,
            alignment: None,
        }
    }
}

impl Tuning {
    /// Checks every number, for blocks of this page size.
    pub(crate) fn check(&self, page_size: u64) -> Result<()> {
        check_page_size(page_size)?;
        within("channels", self.channels.unwrap_or(1), 1, MAX_CHANNELS)?;
        within("queue depth", self.queue_depth, 1, MAX_QUEUE_DEPTH)?;
        let page = usize::try_from(page_size).map_err(|_| invalid("page size out of range"))?;
        within("request size", self.request_size, page, MAX_REQUEST_SIZE)?;
        if !self.request_size.is_multiple_of(page) {
            return Err(invalid(format!(
                "request size: expected a multiple of the page size {page}, found {}",
                self.request_size
            )));
        }
        self.check_buffers()
    }

    /// Refuses an explicit choice that takes a local file where the snapshot is none.
    pub(crate) fn check_snapshot(&self, spec: &SnapshotSpec) -> Result<()> {
        let (kind, what) = match self {
            _ if spec.is_file() => return Ok(()),
            Self {
                io_engine: IoEngine::IoUring,
                ..
            } => (ErrorKind::EngineUnavailable, "io_uring"),
            Self {
                direct_io: DirectIo::On,
                ..
            } => (ErrorKind::DirectIoUnavailable, "direct I/O"),
            _ => return Ok(()),
        };
        let message = format!("{what} was asked for and takes a local file, which the snapshot is not");
        Err(EngineError::new(kind, message).on(spec.name()))
    }

    /// The buffers of each channel, unless the engine can do with fewer. There is one more than requests in flight:
    /// memory is copied to or from that one while the disk has the others.
    pub(crate) fn slots(&self, bound: Bound) -> usize {
        match bound {
            // Nothing is in flight for long, and few buffers stay in the processor's cache.
            Bound::Memory => MEMORY_SLOTS.min(self.queue_depth + 1),
            Bound::Disk | Bound::Fills | Bound::PageCache | Bound::Copies | Bound::Turns => {
                self.queue_depth + 1
            }
        }
    }

    /// Does as `slots` for so many channels. Where the engine chose their number, all buffers together have a bound that
    /// does not grow with it: memory that is mapped for the requests comes on top, up to as much again.
    pub(crate) fn slots_of(&self, channels: usize, bound: Bound) -> usize {
        let slots = self.slots(bound);
        let fitting = |bytes: usize| bytes / self.request_size.max(1) / channels.max(1);
        match (self.channels, self.io_engine) {
            (None, _) => slots.min(fitting(DEFAULT_BUFFERS).max(2)),
            // Each channel can do with one buffer, so that nothing is refused for the sake of more.
            (Some(_), IoEngine::Threads) => slots.min(fitting(MOST_THREAD_BUFFERS).max(1)),
            (Some(_), _) => slots,
        }
    }

    /// The number of channels: by default as many as were fastest (docs/performance.md), and no more than there are full
    /// requests: a thread and buffers take longer than the small pieces of another channel. Never one that would find
    /// nothing to do.
    pub(crate) fn channels(&self, lengths: impl Iterator<Item = u64>, work: Work) -> usize {
        let request = self.request_size as u64;
        let (windows, bytes) = lengths.fold((0_u64, 0_u64), |(windows, bytes), length| {
            (
                windows.saturating_add(length.div_ceil(request)),
                bytes.saturating_add(length),
            )
        });
        let most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        self.channels
            .unwrap_or_else(|| {
                let with_rings = work.with_rings
                    && match self.io_engine {
                        IoEngine::IoUring => true,
                        IoEngine::Threads => false,
                        // What lies in memory is done by threads.
                        IoEngine::Auto => work.bound != Bound::Turns,
                    };
                default_channels(with_rings && queue::probe_io_uring().is_ok(), work)
                    .min(most(bytes.div_ceil(request)))
            })
            .min(most(windows))
    }

    /// Checks the numbers together: each alone may be in range while their product is more than the machine has.
    fn check_buffers(&self) -> Result<()> {
        let channels = self.channels.unwrap_or(if self.io_engine == IoEngine::Threads {
            DEFAULT_THREAD_CHANNELS
        } else {
            DEFAULT_MAX_IN_MEMORY
        });
        let total = channels
            .saturating_mul(if self.io_engine == IoEngine::Threads {
                1
            } else {
                self.slots(Bound::Disk)
            })
            .saturating_mul(self.request_size);
        if total <= MAX_BUFFERS {
            return Ok(());
        }
        Err(EngineError::new(
            ErrorKind::OutOfRange,
            format!(
                "buffers: expected at most {MAX_BUFFERS} bytes in all, found {total}: channels ({channels}), queue depth ({}) and request size ({}) are too large together",
                self.queue_depth, self.request_size
            ),
        ))
    }
}

fn default_channels(with_rings: bool, work: Work) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let has_many_in_flight = with_rings || (work.queues_direct && queue::probe_aio());
    match work.bound {
        Bound::Fills if !has_many_in_flight => DEFAULT_THREAD_LOADS,
        Bound::PageCache if !with_rings => DEFAULT_THREAD_CHANNELS,
        Bound::Disk | Bound::Copies if !has_many_in_flight => DEFAULT_THREAD_CHANNELS,
        Bound::Disk | Bound::Fills => (cores / 2).clamp(1, DEFAULT_MAX_RINGS),
        Bound::PageCache => DEFAULT_MAX_RINGS,
        Bound::Copies => cores.min(DEFAULT_MAX_RINGS),
        Bound::Turns if with_rings => (cores / 2).clamp(1, DEFAULT_MAX_RINGS),
        Bound::Turns | Bound::Memory => cores.min(DEFAULT_MAX_IN_MEMORY),
    }
}

fn within(what: &str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(EngineError::new(
        ErrorKind::OutOfRange,
        format!("{what}: expected {min} to {max}, found {value}"),
    ))
}

fn invalid(message: impl Into<String>) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}
