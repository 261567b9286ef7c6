//! A queue that hands everything to a real one and remembers what it was asked for.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mapped_ram_engine::queue::QueueFactory;
use mapped_ram_engine::queue::{self, Completion, Loan, Queue, Request, Target};
use mapped_ram_engine::{EngineError, IoEngine, Report, Transfer};

type Hook = dyn Fn(u64) + Send + Sync;

#[derive(Clone, Default)]
pub(crate) struct Spy {
    requests: Arc<Mutex<Vec<Request>>>,
    submitted: Arc<AtomicU64>,
    lent: Arc<AtomicU64>,
    /// The hook that is called with the number of each request before it is submitted.
    hook: Option<Arc<Hook>>,
    /// The number of bytes that a longer direct request is said to have moved, whatever it has.
    admitted: Option<usize>,
}

impl Spy {
    pub(crate) fn new(hook: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            hook: Some(Arc::new(hook)),
            ..Self::default()
        }
    }

    /// Makes a spy with which direct requests end short, after this many bytes.
    pub(crate) fn shortening(admitted: usize) -> Self {
        Self {
            admitted: Some(admitted),
            ..Self::default()
        }
    }

    pub(crate) fn run(&self, transfer: Transfer, engine: IoEngine) -> Result<Report, EngineError> {
        self.run_after(transfer, engine, || {})
    }

    /// Calls `ready` when all files are open and checked and nothing has moved yet.
    pub(crate) fn run_after(
        &self,
        transfer: Transfer,
        engine: IoEngine,
        ready: impl Fn(),
    ) -> Result<Report, EngineError> {
        let factory: &QueueFactory<'_> = &|count, file, options| {
            let (queues, state) = queue::make_queues(engine, count, file, options)?;
            let watched = queues
                .into_iter()
                .map(|inner| {
                    Box::new(Watched {
                        inner,
                        spy: self.clone(),
                        direct: HashSet::new(),
                    }) as Box<dyn Queue>
                })
                .collect();
            ready();
            Ok((watched, state))
        };
        transfer.run_with(factory)
    }

    /// The number of windows whose memory took the place of a buffer.
    pub(crate) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// Lists all requests that were submitted, in that order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic held it").clone()
    }
}

struct Watched {
    inner: Box<dyn Queue>,
    spy: Spy,
    /// The tokens of direct requests.
    direct: HashSet<u64>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Queue for Watched {
    fn start(&mut self) -> io::Result<()> {
        self.inner.start()
    }

    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        self.inner.slot(slot)
    }

    fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        if loan.is_some() {
            self.spy.lent.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.lend(slot, loan)
    }

    fn submit(&mut self, request: Request) -> io::Result<()> {
        let number = self.spy.submitted.fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = &self.spy.hook {
            hook(number);
        }
        self.spy.requests.lock().expect("no panic held it").push(request);
        if request.target == Target::Direct {
            self.direct.insert(request.token);
        }
        self.inner.submit(request)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn wait(&mut self) -> io::Result<Completion> {
        let mut completion = self.inner.wait()?;
        if let (Some(admitted), true) = (self.spy.admitted, self.direct.remove(&completion.token)) {
            completion.result = completion.result.map(|count| count.min(admitted));
        }
        Ok(completion)
    }

    fn submissions(&self) -> u64 {
        self.inner.submissions()
    }
}
