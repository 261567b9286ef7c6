//! The numbers of a transfer that no file decides: their ranges, and what follows from them.

use std::thread;

use crate::error::{EngineError, ErrorKind, Result};
use crate::plan::{
    DEFAULT_MAX_RINGS, DEFAULT_THREAD_CHANNELS, EngineChoice, MAX_BUFFERS, MAX_CHANNELS, MAX_QUEUE_DEPTH,
    MAX_REQUEST_SIZE,
};
use crate::queue;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) page_size: u64,
    pub(crate) channels: Option<usize>,
    pub(crate) queue_depth: usize,
    pub(crate) request_size: usize,
    pub(crate) engine: EngineChoice,
}

impl Numbers {
    pub(crate) fn check(&self) -> Result<()> {
        check_page_size(self.page_size)?;
        within("channels", self.channels.unwrap_or(1), 1, MAX_CHANNELS)?;
        within("queue depth", self.queue_depth, 1, MAX_QUEUE_DEPTH)?;
        let page = usize::try_from(self.page_size).map_err(|_| invalid("page size out of range"))?;
        within("request size", self.request_size, page, MAX_REQUEST_SIZE)?;
        if !self.request_size.is_multiple_of(page) {
            return Err(invalid(format!(
                "request size: expected a multiple of the page size {page}, found {}",
                self.request_size
            )));
        }
        self.check_buffers()
    }

    /// Buffers of each channel, unless the engine can do with fewer. One more than requests in flight: memory is copied
    /// to or from it while the others are with the disk.
    pub(crate) fn slots(&self) -> usize {
        if self.engine == EngineChoice::Threads {
            // One request at a time is in flight there.
            return 1;
        }
        self.queue_depth + 1
    }

    /// How many channels there are to be: none that would find nothing to do, and by default as many as were fastest
    /// (docs/performance.md).
    pub(crate) fn channels(&self, lengths: impl Iterator<Item = u64>) -> usize {
        let windows: u64 = lengths
            .map(|length| length.div_ceil(self.request_size as u64))
            .sum();
        let useful = usize::try_from(windows).unwrap_or(usize::MAX);
        self.channels
            .unwrap_or_else(|| default_channels(self.engine))
            .min(useful)
    }

    /// Each number alone may be in range and all of them together be more than the machine has.
    fn check_buffers(&self) -> Result<()> {
        let channels = self.channels.unwrap_or(DEFAULT_THREAD_CHANNELS);
        let total = channels
            .saturating_mul(self.slots())
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

/// The length of a window, in bytes, as a buffer's length.
pub(crate) fn in_memory(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .map_err(|_| EngineError::new(ErrorKind::Internal, "a window is larger than memory"))
}

pub(crate) fn check_page_size(page_size: u64) -> Result<()> {
    if page_size.is_power_of_two() && (512..=65536).contains(&page_size) {
        return Ok(());
    }
    Err(invalid(format!(
        "page size: expected a power of two from 512 to 65536, found {page_size}"
    )))
}

fn default_channels(engine: EngineChoice) -> usize {
    if engine == EngineChoice::Threads || queue::probe_io_uring().is_err() {
        // One request in flight each: it takes several to keep a drive busy.
        return DEFAULT_THREAD_CHANNELS;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, DEFAULT_MAX_RINGS)
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
