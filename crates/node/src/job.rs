//! One job's life, a transfer's or a comparison's: made, run once on a thread of its own, cancelled, over before it goes.

use std::sync::{Arc, Mutex, PoisonError};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{CancelToken, EngineError, ErrorKind, Progress};

use crate::driver::Driver;

pub(crate) struct Job<T> {
    /// What is wrong with the plan comes out when it runs.
    ready: Mutex<Option<Result<T>>>,
    cancel: CancelToken,
    progress: Arc<Progress>,
    driver: Driver,
}

impl<T: Send + 'static> Job<T> {
    pub(crate) fn new(ready: Result<T>, handles: impl FnOnce(&T) -> (CancelToken, Arc<Progress>)) -> Self {
        let (cancel, progress) = ready.as_ref().map(handles).unwrap_or_default();
        Self {
            ready: Mutex::new(Some(ready)),
            cancel,
            progress,
            driver: Driver::default(),
        }
    }

    /// Runs it, once. When this returns, all threads have ended and all descriptors are closed.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let once = || EngineError::new(ErrorKind::InvalidArgument, "a job runs only once");
        let job = ready.ok_or_else(once)??;
        self.driver.run(move || work(job)).await
    }

    /// Ends it early; `run` then fails with the kind CANCELLED.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// A worker that is terminated drops its objects: the job must be over before its memory goes.
impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.driver.join();
    }
}
