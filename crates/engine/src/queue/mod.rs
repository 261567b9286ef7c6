//! Submission queues: requests in, completions out, in any order.
//!
//! A queue owns the buffers its requests use, as numbered slots. While a request on a slot is in flight the slot
//! cannot be borrowed, so no request can ever lose its buffer.

mod counts;
#[cfg(feature = "faulty")]
pub mod faulty;
#[cfg(target_os = "linux")]
mod kernel_aio;
#[cfg(not(target_os = "linux"))]
mod no_kernel_aio;
mod threads;
#[cfg(target_os = "linux")]
mod uring;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::choices::IoEngine;
use crate::error::Result;
use crate::file::SnapshotFile;
pub use crate::mapping::Loan;

pub use counts::RequestCounts;
#[cfg(not(target_os = "linux"))]
use no_kernel_aio as kernel_aio;
pub(crate) use threads::probe_aio;

/// The descriptor of the snapshot that a request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Buffered,
    Direct,
}

/// The direction of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Read,
    Write,
}

/// One positional request on part of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The completion brings the token back. It is unique among the requests in flight.
    pub token: u64,
    pub action: Action,
    pub target: Target,
    pub slot: usize,
    /// The place of the bytes in the slot.
    pub start: usize,
    pub length: usize,
    pub offset: u64,
}

/// The end of one request: the number of bytes, possibly fewer than asked for, or the error.
#[derive(Debug)]
pub struct Completion {
    pub token: u64,
    pub result: io::Result<usize>,
}

/// The queue of one channel. One thread at a time uses it.
pub trait Queue: Send + fmt::Debug {
    /// Prepares the queue. The thread that will use the queue calls this once, before anything else.
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Lends the bytes of a slot.
    /// # Errors
    /// while a request on the slot is in flight
    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]>;

    /// Lets other memory take the place of a slot's bytes for the requests that follow, or the bytes take it back.
    /// # Errors
    /// while a request on the slot is in flight, and always where the queue cannot do this
    fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        let _ = (slot, loan);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes a request. It may start at once or with the next `flush` or `wait`.
    fn submit(&mut self, request: Request) -> io::Result<()>;

    /// Starts all requests that were submitted.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits for the next completion. Nobody must call this when nothing is in flight.
    fn wait(&mut self) -> io::Result<Completion>;

    /// The number of system calls that the queue has made for its requests so far.
    fn submissions(&self) -> u64;
}

/// The options for making the queues of one run.
#[derive(Debug, Clone, Copy)]
pub struct QueueOptions {
    /// The most requests in flight.
    pub depth: usize,
    pub slots: usize,
    pub slot_size: usize,
}

impl QueueOptions {
    /// The end, at the latest, of a window that starts at `start`. The windows of a dense block end at multiples of
    /// their size, so that its requests are all alike.
    pub(crate) fn window_end(&self, start: u64) -> u64 {
        let size = self.slot_size as u64;
        (start / size + 1) * size
    }
}

/// The engine that was chosen, and the reason.
#[derive(Debug, Clone)]
pub struct IoEngineState {
    pub name: &'static str,
    pub why: String,
    /// The buffers are registered with the kernel, which saves pinning them for each request.
    pub registered_buffers: bool,
    /// The buffers of each channel: as many as asked for, or fewer where more would lie idle.
    pub slots: usize,
}

impl IoEngineState {
    /// Says of the queues of two files what holds for both. `Auto` takes threads for the second file where memory is
    /// too scarce for a second set of rings.
    pub(crate) fn and(self, other: Self) -> Self {
        let slots = self.slots.min(other.slots);
        let registered_buffers = self.registered_buffers && other.registered_buffers;
        let slower = if other.name == "threads" { other } else { self };
        Self {
            registered_buffers,
            slots,
            ..slower
        }
    }
}

/// A function that makes the queues of a run. Tests put one that makes faulty queues in its place.
pub type QueueFactory<'a> =
    dyn Fn(usize, &Arc<SnapshotFile>, QueueOptions) -> Result<(Vec<Box<dyn Queue>>, IoEngineState)> + 'a;

/// Makes `count` queues of the engine that was asked for; `Auto` takes io_uring where the kernel lets it.
pub fn make_queues(
    choice: IoEngine,
    count: usize,
    file: &Arc<SnapshotFile>,
    options: QueueOptions,
) -> Result<(Vec<Box<dyn Queue>>, IoEngineState)> {
    #[cfg(target_os = "linux")]
    {
        use crate::error::{EngineError, ErrorKind};
        if choice != IoEngine::Threads {
            match uring::make(count, file, options) {
                Ok(made) => return Ok(made),
                Err(error) if choice == IoEngine::IoUring => {
                    let message = format!(
                        "io_uring was asked for and cannot be had: {}",
                        uring::explain(&error)
                    );
                    return Err(EngineError::new(ErrorKind::EngineUnavailable, message).caused_by(error));
                }
                // A lack of descriptors says nothing about the kernel. A lack of memory does: a memlock limit that is
                // too low for rings shows as ENOMEM.
                Err(error) if uring::lacks_descriptors(&error) => {
                    return Err(EngineError::io("setting up the channels", error).on(&file.name));
                }
                Err(error) => {
                    let why = format!("io_uring cannot be had: {}", uring::explain(&error));
                    return threads::make(count, file, options, why);
                }
            }
        }
    }
    if choice == IoEngine::IoUring {
        use crate::error::{EngineError, ErrorKind};
        let message = "io_uring was asked for and exists on Linux only";
        return Err(EngineError::new(ErrorKind::EngineUnavailable, message));
    }
    let why = if choice == IoEngine::Auto {
        "io_uring exists on Linux only"
    } else {
        "asked for by the caller"
    };
    threads::make(count, file, options, why.to_owned())
}

/// Does the same for a save. `Auto` takes threads for a file in memory: nothing is in flight there, and a ring hands its
/// writes to threads of the kernel's.
pub fn make_queues_for_save(
    choice: IoEngine,
    count: usize,
    file: &Arc<SnapshotFile>,
    options: QueueOptions,
) -> Result<(Vec<Box<dyn Queue>>, IoEngineState)> {
    if choice == IoEngine::Auto && file.has_no_disk() {
        let why = "the snapshot lies in memory, where nothing waits for a disk";
        return threads::make(count, file, options, why.to_owned());
    }
    make_queues(choice, count, file, options)
}

/// Tries whether io_uring works here. The error says in words why it does not.
pub fn probe_io_uring() -> std::result::Result<(), String> {
    #[cfg(target_os = "linux")]
    return uring::probe().map_err(|error| uring::explain(&error));
    #[cfg(not(target_os = "linux"))]
    return Err("io_uring exists on Linux only".to_owned());
}
