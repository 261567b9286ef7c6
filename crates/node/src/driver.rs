//! A thread that does the engine's work; tokio only waits for its word.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use tokio::sync::oneshot;

use crate::error::from_panic;

#[derive(Default)]
pub(crate) struct Driver(Arc<Handle>);

#[derive(Default)]
struct Handle(Mutex<Option<JoinHandle<()>>>);

impl Driver {
    /// Runs `work` on the thread, which has ended when this returns.
    ///
    /// A worker that is terminated drops its objects, this driver among them, while tokio still waits here: nothing of
    /// `self` is touched behind the wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let driver = std::thread::Builder::new()
            .name("mapped-ram".to_owned())
            .spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(work));
                // The receiver is gone when the environment is being torn down.
                let _ = tell.send(result.unwrap_or_else(|panic| Err(from_panic(panic.as_ref()))));
            })
            .map_err(|error| {
                EngineError::new(ErrorKind::Io, "starting the driver thread").caused_by(error)
            })?;
        let handle = Arc::clone(&self.0);
        handle.set(driver);
        let gone = |_| {
            Err(EngineError::new(
                ErrorKind::Internal,
                "the driver thread went away",
            ))
        };
        let result = told.await.unwrap_or_else(gone);
        handle.join();
        result
    }

    /// Waits for the thread, if there is one.
    pub(crate) fn join(&self) {
        self.0.join();
    }
}

impl Handle {
    fn set(&self, driver: JoinHandle<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver);
    }

    fn join(&self) {
        let driver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            // The thread has caught its panics itself.
            let _ = driver.join();
        }
    }
}
