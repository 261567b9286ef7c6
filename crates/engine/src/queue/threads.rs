//! The engine for systems without io_uring: a channel's own thread does pread and pwrite.
//!
//! Each request runs when it is submitted, so a channel has one request in flight and needs one buffer. Parallel
//! requests come from more channels.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{Action, Completion, IoEngineState, Loan, Queue, QueueOptions, Request, Target};
use crate::arena::Arena;
use crate::error::{EngineError, Result};
use crate::file::{SnapshotFile, Storage};

#[derive(Debug)]
struct ThreadQueue {
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
    let options = QueueOptions { slots: 1, ..options };
    let queues = (0..count)
        .map(|_| ThreadQueue::new(file, options).map(|queue| Box::new(queue) as Box<dyn Queue>))
        .collect::<io::Result<_>>()
        .map_err(|error| EngineError::io("setting up the channels", error).on(&file.name))?;
    Ok((
        queues,
        IoEngineState {
            name: "threads",
            why,
            registered_buffers: false,
            slots: options.slots,
        },
    ))
}

impl ThreadQueue {
    fn new(file: &Arc<SnapshotFile>, options: QueueOptions) -> io::Result<Self> {
        Ok(Self {
            arena: Arena::new(options.slots, options.slot_size)?,
            file: Arc::clone(file),
            done: VecDeque::new(),
            submissions: 0,
        })
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
        let result = self.run(request);
        self.done.push_back(Completion {
            token: request.token,
            result,
        });
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Completion> {
        self.done
            .pop_front()
            .ok_or_else(|| io::Error::other("nothing is in flight"))
    }

    fn submissions(&self) -> u64 {
        self.submissions
    }
}
