//! A queue that goes wrong on purpose: short reads and writes, errors, late and reordered completions. It wraps a real
//! queue, so that the requests that it does not disturb really happen.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Completion, Loan, Queue, Request, Target};

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request moves at most this many bytes (at least one; whole pages with direct I/O).
    Short(usize),
    /// The request ends with this errno and moves nothing.
    Errno(i32),
    /// The request's completion comes after all others that are in flight.
    Delay,
    /// Submitting the request fails with this errno.
    Submit(i32),
    /// The wait that would have delivered the request's completion fails with this errno; a later one delivers it.
    Wait(i32),
    /// The channel panics when it submits the request.
    Panic,
}

/// The faults of a transfer's requests, which are counted over all of its channels.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The requests that go wrong; every request when there are none.
    pub requests: HashSet<u64>,
    pub fault: Option<Fault>,
    /// True hands completions out last first.
    pub reorder: bool,
    counter: Arc<AtomicU64>,
}

impl Script {
    pub fn new(fault: Option<Fault>, requests: impl IntoIterator<Item = u64>) -> Self {
        Self {
            requests: requests.into_iter().collect(),
            fault,
            ..Self::default()
        }
    }

    /// The number of requests that were submitted so far.
    pub fn submitted(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    fn next_fault(&self) -> Option<Fault> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.fault
            .filter(|_| self.requests.is_empty() || self.requests.contains(&number))
    }
}

#[derive(Debug)]
pub struct FaultyQueue {
    inner: Box<dyn Queue>,
    script: Script,
    /// The number of requests in flight in the inner queue.
    inside: usize,
    held: Vec<Completion>,
    delayed: HashSet<u64>,
    failing_waits: Vec<(u64, i32)>,
}

impl FaultyQueue {
    pub fn new(inner: Box<dyn Queue>, script: Script) -> Self {
        Self {
            inner,
            script,
            inside: 0,
            held: Vec::new(),
            delayed: HashSet::new(),
            failing_waits: Vec::new(),
        }
    }

    fn shorten(request: &mut Request, most: usize) {
        let most = match request.target {
            Target::Buffered => most.max(1),
            Target::Direct => most.next_multiple_of(4096).max(4096),
        };
        request.length = request.length.min(most);
    }

    /// Picks the held completion to hand out: the delayed ones come after all others.
    fn pick(&mut self) -> Option<Completion> {
        let ready = self
            .held
            .iter()
            .rposition(|held| !self.delayed.contains(&held.token));
        let index = ready.or_else(|| self.held.len().checked_sub(1))?;
        Some(self.held.remove(index))
    }
}

impl Queue for FaultyQueue {
    fn start(&mut self) -> io::Result<()> {
        self.inner.start()
    }

    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        self.inner.slot(slot)
    }

    fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        self.inner.lend(slot, loan)
    }

    #[expect(clippy::panic, reason = "panicking is what this fault is")]
    fn submit(&mut self, mut request: Request) -> io::Result<()> {
        match self.script.next_fault() {
            Some(Fault::Errno(errno)) => {
                let result = Err(io::Error::from_raw_os_error(errno));
                self.held.push(Completion {
                    token: request.token,
                    result,
                });
                return Ok(());
            }
            Some(Fault::Submit(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Panic) => panic!("fault injected"),
            Some(Fault::Short(most)) => Self::shorten(&mut request, most),
            Some(Fault::Delay) => drop(self.delayed.insert(request.token)),
            Some(Fault::Wait(errno)) => self.failing_waits.push((request.token, errno)),
            None => {}
        }
        self.inner.submit(request)?;
        self.inside += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn wait(&mut self) -> io::Result<Completion> {
        // A reordered or delayed completion takes all that are in flight.
        let collect = self.script.reorder || !self.delayed.is_empty();
        while self.inside > 0 && (collect || self.held.is_empty()) {
            let completion = self.inner.wait()?;
            self.inside -= 1;
            self.held.push(completion);
        }
        let completion = self
            .pick()
            .ok_or_else(|| io::Error::other("nothing is in flight"))?;
        if let Some(index) = self
            .failing_waits
            .iter()
            .position(|(token, _)| *token == completion.token)
        {
            let (_, errno) = self.failing_waits.swap_remove(index);
            self.held.push(completion);
            return Err(io::Error::from_raw_os_error(errno));
        }
        self.delayed.remove(&completion.token);
        Ok(completion)
    }

    fn submissions(&self) -> u64 {
        self.inner.submissions()
    }
}
