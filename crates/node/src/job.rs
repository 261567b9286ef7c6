//! One job's life, a transfer's or a comparison's: made, run once on a thread of its own, cancelled, over before it
//! goes.

use std::sync::{Mutex, PoisonError};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{Controls, EngineError, ErrorKind, Progress};

use crate::driver::Driver;

pub(crate) struct Job<T> {
    /// The job, or what is wrong with its plan, which comes out when the job runs.
    ready: Mutex<Option<Result<T>>>,
    controls: Controls,
    driver: Driver,
}

impl<T: Send + 'static> Job<T> {
    pub(crate) fn new(ready: Result<T>, controls: impl FnOnce(&T) -> Controls) -> Self {
        let controls = ready.as_ref().map(controls).unwrap_or_default();
        Self {
            ready: Mutex::new(Some(ready)),
            controls,
            driver: Driver::default(),
        }
    }

    /// Runs the job, once. All threads have ended and all descriptors are closed when this returns.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let once = || EngineError::new(ErrorKind::InvalidArgument, "a job runs only once");
        let job = ready.ok_or_else(once)??;
        self.driver.run(move || work(job)).await
    }

    /// Ends the job early; `run` then fails with the kind CANCELLED.
    pub(crate) fn cancel(&self) {
        self.controls.cancel.cancel();
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.controls.progress
    }
}

/// A worker that is terminated drops its objects. The job must be over before its memory goes.
impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.controls.cancel.cancel();
        self.driver.join();
    }
}
