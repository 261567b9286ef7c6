//! The requests of one channel: `Requests` keeps the queue filled to its depth, finishes requests that were cut short,
//! and says which slot is free again. Every request ends here, on one path.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::SnapshotFile;
use crate::queue::{Action, Completion, Loan, Queue, QueueOptions, Request, RequestCounts, Target};

/// The kernel may ask this often to try a request again before that counts as an error.
const MAX_RETRIES: u32 = 100;

/// The page cache reads and writes back a unit of this size to change a part of it. A direct request keeps out of a
/// unit whose other part a buffered request has: the write-back could undo the direct write.
const CACHE_PAGE: u64 = 4096;

pub(crate) struct Requests<'a> {
    queue: Box<dyn Queue>,
    file: &'a SnapshotFile,
    depth: usize,
    next_token: u64,
    waiting: VecDeque<Request>,
    in_flight: HashMap<u64, Request>,
    /// The number of requests of each slot that have not ended.
    open: Vec<usize>,
    /// The memory that has taken the place of a slot's bytes until its requests have ended.
    loans: Vec<Option<Loan>>,
    free: Vec<usize>,
    retries: u32,
    counts: RequestCounts,
}

impl<'a> Requests<'a> {
    /// Starts requests on `file`, for which `queue` was made with these options.
    pub(crate) fn start(
        file: &'a SnapshotFile,
        options: QueueOptions,
        mut queue: Box<dyn Queue>,
    ) -> Result<Self> {
        queue
            .start()
            .map_err(|error| EngineError::io("starting the submission queue", error).on(&file.name))?;
        let slots = options.slots;
        Ok(Self {
            queue,
            file,
            depth: options.depth,
            next_token: 0,
            waiting: VecDeque::new(),
            in_flight: HashMap::new(),
            open: vec![0; slots],
            loans: vec![None; slots],
            free: (0..slots).collect(),
            retries: 0,
            counts: RequestCounts::default(),
        })
    }

    /// Takes a slot that nothing uses, if there is one.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// Gives a slot back.
    pub(crate) fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// Lends the bytes of a slot that was taken and has no open request.
    pub(crate) fn bytes(&mut self, slot: usize, length: usize) -> Result<&mut [u8]> {
        let name = &self.file.name;
        let bytes = self
            .queue
            .slot(slot)
            .map_err(|error| EngineError::io("using a buffer", error).on(name))?;
        bytes
            .get_mut(..length)
            .ok_or_else(|| EngineError::new(ErrorKind::Internal, "window larger than its buffer"))
    }

    /// Lets other memory take the place of a slot's bytes until the slot's requests have ended. Returns false where the
    /// queue cannot do this.
    pub(crate) fn lend(&mut self, slot: usize, loan: Loan) -> bool {
        let lent = self.queue.lend(slot, Some(loan.clone())).is_ok();
        if lent {
            self.loans[slot] = Some(loan);
        }
        lent
    }

    pub(crate) fn has_open(&self) -> bool {
        !self.in_flight.is_empty() || !self.waiting.is_empty()
    }

    /// Moves `length` bytes at `start` of the slot from or to `offset` of the file. The part that can be aligned goes
    /// through the direct descriptor, the rest through the buffered one.
    pub(crate) fn add(
        &mut self,
        action: Action,
        slot: usize,
        start: usize,
        length: usize,
        offset: u64,
    ) -> Result<()> {
        let mut start = start;
        let mut offset = offset;
        for (target, length) in self.split(action, start, length, offset) {
            if length > 0 {
                let request = Request {
                    token: self.token(),
                    action,
                    target,
                    slot,
                    start,
                    length,
                    offset,
                };
                self.waiting.push_back(request);
                self.open[slot] += 1;
            }
            start += length;
            offset += length as u64;
        }
        self.pump()
    }

    /// Does as `add`, but never uses the direct descriptor.
    pub(crate) fn add_buffered(
        &mut self,
        action: Action,
        slot: usize,
        length: usize,
        offset: u64,
    ) -> Result<()> {
        let request = Request {
            token: self.token(),
            action,
            target: Target::Buffered,
            slot,
            start: 0,
            length,
            offset,
        };
        self.waiting.push_back(request);
        self.open[slot] += 1;
        self.pump()
    }

    /// Starts the requests that were added.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.queue
            .flush()
            .map_err(|error| EngineError::io("submitting requests", error).on(&self.file.name))
    }

    /// Waits until some slot has no open request left, and says which.
    pub(crate) fn wait_slot(&mut self) -> Result<usize> {
        loop {
            let completion = self
                .queue
                .wait()
                .map_err(|error| EngineError::io("waiting for requests", error).on(&self.file.name))?;
            if let Some(slot) = self.finish(completion)? {
                return Ok(slot);
            }
        }
    }

    /// Waits for the requests in flight and forgets those that were not started. Buffers may go afterwards.
    pub(crate) fn drain(&mut self) -> Result<()> {
        self.waiting.clear();
        let mut first = Ok(());
        while !self.in_flight.is_empty() {
            match self.queue.wait() {
                Ok(completion) => drop(self.in_flight.remove(&completion.token)),
                Err(error) => {
                    first = Err(EngineError::io("waiting for requests", error).on(&self.file.name));
                    break;
                }
            }
        }
        first
    }

    /// Counts the requests so far.
    pub(crate) fn counts(&self) -> RequestCounts {
        RequestCounts {
            submissions: self.queue.submissions(),
            ..self.counts
        }
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Splits a range into up to three pieces: an unaligned head, an aligned middle, an unaligned tail.
    fn split(&self, action: Action, start: usize, length: usize, offset: u64) -> [(Target, usize); 3] {
        let all_buffered = [
            (Target::Buffered, length),
            (Target::Buffered, 0),
            (Target::Buffered, 0),
        ];
        if self.file.direct.is_none() {
            return all_buffered;
        }
        let align = u64::from(self.file.alignment.offset).max(CACHE_PAGE);
        let end = offset + length as u64;
        if action == Action::Read && self.file.is_better_buffered(offset..end) {
            return all_buffered;
        }
        let first = offset.next_multiple_of(align);
        let last = end - end % align;
        let Ok(head) = usize::try_from(first - offset) else {
            return all_buffered;
        };
        if first >= last || !self.memory_is_aligned(start + head) {
            return all_buffered;
        }
        let tail = usize::try_from(end - last).unwrap_or(0);
        [
            (Target::Buffered, head),
            (Target::Direct, length - head - tail),
            (Target::Buffered, tail),
        ]
    }

    /// Slots start at page boundaries, which promises the alignment of a page and no more.
    fn memory_is_aligned(&self, start: usize) -> bool {
        let align = usize::try_from(self.file.alignment.memory).unwrap_or(usize::MAX);
        align <= 4096 && start.is_multiple_of(align)
    }

    fn pump(&mut self) -> Result<()> {
        while self.in_flight.len() < self.depth {
            let Some(request) = self.waiting.pop_front() else {
                break;
            };
            self.queue
                .submit(request)
                .map_err(|error| self.failed(&request, error))?;
            self.counts.requests += 1;
            self.counts.direct += u64::from(request.target == Target::Direct);
            self.in_flight.insert(request.token, request);
        }
        Ok(())
    }

    /// Takes a completion. Returns the slot when the request was its last open one.
    fn finish(&mut self, completion: Completion) -> Result<Option<usize>> {
        let Some(request) = self.in_flight.remove(&completion.token) else {
            return Err(
                EngineError::new(ErrorKind::Internal, "completion of an unknown request").on(&self.file.name),
            );
        };
        self.counts.bytes += completion.result.as_ref().map_or(0, |count| *count as u64);
        let finished = match completion.result {
            Ok(0) => return Err(self.ended(&request)),
            Ok(count) if count < request.length => {
                self.waiting.push_front(self.rest_of(&request, count));
                None
            }
            Ok(count) if count > request.length => {
                return Err(
                    EngineError::new(ErrorKind::Internal, "more bytes than asked for").on(&self.file.name)
                );
            }
            Ok(_) => {
                self.retries = 0;
                self.close(request.slot)?
            }
            Err(error) if is_transient(&error) && self.retries < MAX_RETRIES => {
                self.retries += 1;
                self.waiting.push_front(request);
                None
            }
            Err(error) => return Err(self.failed(&request, error)),
        };
        self.pump()?;
        self.flush()?;
        Ok(finished)
    }

    fn close(&mut self, slot: usize) -> Result<Option<usize>> {
        self.open[slot] -= 1;
        if self.open[slot] > 0 {
            return Ok(None);
        }
        if self.loans[slot].take().is_some() {
            self.queue
                .lend(slot, None)
                .map_err(|error| EngineError::io("using a buffer", error).on(&self.file.name))?;
        }
        Ok(Some(slot))
    }

    /// Makes a request for the part that a short read or write left undone. That part may no longer be aligned.
    fn rest_of(&self, request: &Request, count: usize) -> Request {
        let offset = request.offset + count as u64;
        let start = request.start + count;
        let aligned =
            offset.is_multiple_of(u64::from(self.file.alignment.offset)) && self.memory_is_aligned(start);
        let target = if aligned { request.target } else { Target::Buffered };
        Request {
            target,
            start,
            offset,
            length: request.length - count,
            ..*request
        }
    }

    fn ended(&self, request: &Request) -> EngineError {
        let error = match request.action {
            Action::Read => EngineError::new(
                ErrorKind::Truncated,
                format!(
                    "the snapshot ended: expected {} more bytes of pages, found none",
                    request.length
                ),
            ),
            Action::Write => EngineError::io("writing pages", io::ErrorKind::WriteZero.into()),
        };
        error.at(&self.file.name, request.offset)
    }

    fn failed(&self, request: &Request, error: io::Error) -> EngineError {
        if let Some(loan) = &self.loans[request.slot]
            && is_fault(&error)
        {
            let (name, offset) = loan.place(request.start);
            return match request.action {
                // Somebody has cut the file short since its size was checked.
                Action::Write => EngineError::new(
                    ErrorKind::Truncated,
                    format!("guest memory ended: expected {} more bytes", request.length),
                )
                .caused_by(error),
                Action::Read => EngineError::io("writing guest memory", error),
            }
            .at(name, offset);
        }
        let doing = match (request.action, request.target) {
            (Action::Read, Target::Direct) => "reading with direct I/O",
            (Action::Read, Target::Buffered) => "reading",
            (Action::Write, Target::Direct) => "writing with direct I/O",
            (Action::Write, Target::Buffered) => "writing",
        };
        EngineError::io(format!("{doing}, {} bytes", request.length), error)
            .at(&self.file.name, request.offset)
    }
}

/// Says whether the kernel could not reach the memory that it was to read or write.
#[cfg(unix)]
fn is_fault(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::FAULT)
}

#[cfg(not(unix))]
fn is_fault(_error: &io::Error) -> bool {
    false
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
