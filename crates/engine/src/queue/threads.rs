//! The engine for systems without io_uring: a channel's own thread does pread and pwrite.
//!
//! Each request runs when it is submitted, so a channel has one request in flight and needs one buffer. Parallel
//! requests come from more channels. Direct requests are in flight together where the kernel lets them (`kernel_aio`).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::kernel_aio::KernelAio;
use super::{Action, Completion, IoEngineState, Loan, Queue, QueueOptions, Request, Target};
use crate::arena::Arena;
use crate::error::{EngineError, Result};
use crate::file::{SnapshotFile, Storage};

#[derive(Debug)]
struct ThreadQueue {
    /// The place of direct requests, where there is one. It goes before the arena, as it waits for what is under way.
    aio: Option<KernelAio>,
    /// The slots of the requests under way, by their tokens.
    in_flight: HashMap<u64, usize>,
    arena: Arena,
    file: Arc<SnapshotFile>,
    done: VecDeque<Completion>,
    submissions: u64,
}

pub(super) fn make(
    count: usize,
    file: &Arc<SnapshotFile>,
    options: QueueOptions,
    why: String,
) -> Result<(Vec<Box<dyn Queue>>, IoEngineState)> {
    let slots = if file.queues_direct_requests() && probe_aio() {
        options.slots
    } else {
        1
    };
    let make = |slots| {
        (0..count)
            .map(|_| {
                let options = QueueOptions { slots, ..options };
                ThreadQueue::new(file, options).map(|queue| Box::new(queue) as Box<dyn Queue>)
            })
            .collect::<io::Result<_>>()
    };
    // Where memory is too scarce for many buffers, one is enough.
    let (slots, queues) = match make(slots) {
        Err(_) if slots > 1 => (1, make(1)),
        made => (slots, made),
    };
    let queues = queues.map_err(|error| EngineError::io("setting up the channels", error).on(&file.name))?;
    Ok((
        queues,
        IoEngineState {
            name: "threads",
            why,
            registered_buffers: false,
            slots,
        },
    ))
}

/// Says whether a channel can have many direct requests in flight without io_uring.
pub(crate) fn probe_aio() -> bool {
    KernelAio::new().is_ok()
}

impl ThreadQueue {
    fn new(file: &Arc<SnapshotFile>, options: QueueOptions) -> io::Result<Self> {
        Ok(Self {
            aio: if file.queues_direct_requests() {
                KernelAio::new().ok()
            } else {
                None
            },
            in_flight: HashMap::new(),
            arena: Arena::new(options.slots, options.slot_size)?,
            file: Arc::clone(file),
            done: VecDeque::new(),
            submissions: 0,
        })
    }

    /// Begins a direct request. Returns false for what has to be done on the spot.
    fn begin(&mut self, request: &Request) -> io::Result<bool> {
        if request.target == Target::Direct && self.aio.as_ref().is_some_and(KernelAio::is_full) {
            self.reap()?;
        }
        let direct = self.file.direct.as_ref();
        let (Some(aio), Some(direct), Target::Direct) = (&mut self.aio, direct, request.target) else {
            return Ok(false);
        };
        let memory = self.arena.acquire(request.slot, request.start, request.length)?;
        // SAFETY: needed because the kernel uses the buffer after this call. It is sound because `acquire` marked the slot,
        // so nothing can borrow it until `reap`, and the arena, or the mapping on loan, goes after all requests have ended.
        let begun = unsafe { aio.begin(direct, memory, request) };
        if begun.is_ok() {
            self.in_flight.insert(request.token, request.slot);
            return Ok(true);
        }
        // What is done on the spot says what is wrong.
        self.arena.release(request.slot);
        Ok(false)
    }

    /// Waits for the end of a request that is under way.
    fn reap(&mut self) -> io::Result<()> {
        let completion = self.aio.as_mut().ok_or_else(nothing_in_flight)?.wait()?;
        if let Some(slot) = self.in_flight.remove(&completion.token) {
            self.arena.release(slot);
        }
        self.done.push_back(completion);
        Ok(())
    }

    fn run(&mut self, request: Request) -> io::Result<usize> {
        let storage: &dyn Storage = match request.target {
            Target::Buffered => self.file.buffered.as_ref(),
            Target::Direct => self.file.direct.as_ref().ok_or(io::ErrorKind::InvalidInput)?,
        };
        #[cfg(target_os = "linux")]
        if let Some(loan) = self.arena.loan(request.slot) {
            let Request {
                start,
                length,
                offset,
                ..
            } = request;
            let file = storage.file().ok_or(io::ErrorKind::Unsupported)?;
            return match request.action {
                Action::Read => loan.read_from(file, start, length, offset),
                Action::Write => loan.write_to(file, start, length, offset),
            };
        }
        let range = request.start..request.start.saturating_add(request.length);
        let buffer = self
            .arena
            .slot(request.slot)?
            .get_mut(range)
            .ok_or(io::ErrorKind::InvalidInput)?;
        match request.action {
            Action::Read => storage.read_at(buffer, request.offset),
            Action::Write => storage.write_at(buffer, request.offset),
        }
    }
}

impl Queue for ThreadQueue {
    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        self.arena.slot(slot)
    }

    fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        self.arena.lend(slot, loan)
    }

    fn submit(&mut self, request: Request) -> io::Result<()> {
        self.submissions += 1;
        if self.begin(&request)? {
            return Ok(());
        }
        // What is done on the spot needs the slot for itself.
        while self.in_flight.values().any(|slot| *slot == request.slot) {
            self.reap()?;
        }
        let result = self.run(request);
        self.done.push_back(Completion {
            token: request.token,
            result,
        });
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Completion> {
        if self.done.is_empty() && !self.in_flight.is_empty() {
            self.reap()?;
        }
        self.done.pop_front().ok_or_else(nothing_in_flight)
    }

    fn submissions(&self) -> u64 {
        self.submissions
    }
}

fn nothing_in_flight() -> io::Error {
    io::Error::other("nothing is in flight")
}
