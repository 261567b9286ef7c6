//! The strings by which others hold a server that runs on its own thread.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use mapped_ram_engine::EngineError;
use tokio::sync::{Notify, watch};

use crate::reworded::reworded;

/// The strings by which others hold a server: its end, its progress, and what it has reached.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    end: AtomicBool,
    wake: Notify,
    milestones: watch::Sender<Milestones>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
struct Milestones {
    loaded: bool,
    pushed: bool,
    unreadable: Option<EngineError>,
    over: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) content_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) pending_requests: AtomicU64,
    pub(crate) ended: AtomicBool,
}

/// The state of a server at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServeProgress {
    /// Content of the snapshot.
    pub content_bytes: u64,
    /// The part of it that QEMU was sent, or had already when this server took over.
    pub sent_bytes: u64,
    /// Host pages that QEMU has asked for.
    pub requests: u64,
    /// Requests that are not answered yet.
    pub pending_requests: u64,
    /// The guest's devices are loaded: the guest may run.
    pub loaded: bool,
    /// All content is sent.
    pub pushed: bool,
    /// The end of the stream is sent.
    pub ended: bool,
}

impl Control {
    /// Ends the server early. Its result is then an error of the kind Cancelled.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Lets the server send the end once all content is sent.
    pub fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Settles everything that others still wait for. Whoever runs a server calls this when it is over.
    pub fn finish(&self) {
        self.milestones.send_modify(|milestones| milestones.over = true);
    }

    /// Waits until the devices are loaded: true. False when the server is over before.
    pub fn loaded(&self) -> impl Future<Output = bool> + Send + use<> {
        let watched = self.milestones.subscribe();
        async {
            Self::reached(watched, |found| found.loaded.then_some(()))
                .await
                .is_some()
        }
    }

    /// Waits until all content is sent: true. False when the server is over before.
    pub fn pushed(&self) -> impl Future<Output = bool> + Send + use<> {
        let watched = self.milestones.subscribe();
        async {
            Self::reached(watched, |found| found.pushed.then_some(()))
                .await
                .is_some()
        }
    }

    /// Waits for the first page that cannot be read. `None` when the server is over without one.
    pub fn unreadable(&self) -> impl Future<Output = Option<EngineError>> + Send + use<> {
        Self::reached(self.milestones.subscribe(), |found| {
            let error = found.unreadable.as_ref()?;
            Some(reworded(error, error.message()))
        })
    }

    pub fn progress(&self) -> ServeProgress {
        let counters = &self.counters;
        let milestones = self.milestones.borrow();
        ServeProgress {
            content_bytes: counters.content_bytes.load(Ordering::Relaxed),
            sent_bytes: counters.sent_bytes.load(Ordering::Relaxed),
            requests: counters.requests.load(Ordering::Relaxed),
            pending_requests: counters.pending_requests.load(Ordering::Relaxed),
            loaded: milestones.loaded,
            pushed: milestones.pushed,
            ended: counters.ended.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_loaded(&self) {
        self.milestones.send_modify(|milestones| milestones.loaded = true);
    }

    pub(crate) fn set_pushed(&self) {
        self.milestones.send_modify(|milestones| milestones.pushed = true);
    }

    /// Remembers the first page that cannot be read.
    pub(crate) fn set_unreadable(&self, error: EngineError) {
        self.milestones.send_modify(|milestones| {
            milestones.unreadable.get_or_insert(error);
        });
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn may_end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Waits for a call of `stop` or `end`, also one that came before.
    pub(crate) fn called(&self) -> impl Future<Output = ()> {
        self.wake.notified()
    }

    /// Waits until `reached` has something to tell, or the server is over. Keeps nothing of the server alive.
    async fn reached<T>(
        mut watched: watch::Receiver<Milestones>,
        reached: fn(&Milestones) -> Option<T>,
    ) -> Option<T> {
        let settled = watched
            .wait_for(|milestones| milestones.over || reached(milestones).is_some())
            .await;
        settled.ok().and_then(|found| reached(&found))
    }
}

/// Waits for whichever is first: `work`, or a call of `stop`, for which the result is `None`.
pub(crate) async fn unless_stopped<T>(control: &Control, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut called = pin!(control.called());
    poll_fn(|context| {
        while called.as_mut().poll(context).is_ready() {
            called.set(control.called());
        }
        if control.is_stopped() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}
