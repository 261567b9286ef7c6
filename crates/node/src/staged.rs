//! A file that appears under its name only when it is complete.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mapped_ram_engine::file::{Replace, StagedFile, remove_abandoned};
use mapped_ram_engine::{CancelToken, EngineError, ErrorKind};
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;

const DOING: &str = "making or publishing the file";

/// A staged file. It removes its partial file when it is dropped without `publish`, also when a worker is terminated.
#[napi]
pub struct BindingStagedFile {
    target: PathBuf,
    keep: u64,
    replace: Replace,
    cancel: CancelToken,
    /// The open file, which a `sync` that is under way shares. An `open` that is under way has the place itself: a worker
    /// that is terminated drops this object meanwhile.
    staged: Arc<Mutex<Option<Arc<StagedFile>>>>,
}

#[napi]
impl BindingStagedFile {
    #[napi(constructor)]
    pub fn new(target: String, keep: i64, replace: bool) -> Self {
        Self {
            target: target.into(),
            keep: u64::try_from(keep).unwrap_or(0),
            replace: if replace { Replace::Allowed } else { Replace::Never },
            cancel: CancelToken::default(),
            staged: Arc::default(),
        }
    }

    /// Makes the partial file and copies the kept prefix into it.
    #[napi]
    pub async fn open(&self) -> Option<BindingError> {
        let (target, keep, replace) = (self.target.clone(), self.keep, self.replace);
        let (cancel, place) = (self.cancel.clone(), Arc::clone(&self.staged));
        let token = cancel.clone();
        let create = move || StagedFile::create_cancellable(&target, keep, replace, &token);
        match blocking(DOING, create).await {
            Ok(staged) => {
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                // `cancel` takes that lock too, so a cancellation comes either before this look or after the file is in
                // its place.
                if cancel.is_cancelled() {
                    let message = "creating the file was cancelled";
                    return Some(EngineError::new(ErrorKind::Cancelled, message).into());
                }
                *place = Some(Arc::new(staged));
                None
            }
            Err(error) => Some(error.into()),
        }
    }

    /// Ends `open` early, which then settles with the kind CANCELLED and leaves nothing. Does what `discard` does once
    /// `open` has settled.
    #[napi]
    pub fn cancel(&self) {
        self.discard();
    }

    /// The path to write to, until `publish` or `discard`.
    #[napi]
    pub fn partial(&self) -> Option<String> {
        let staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged
            .as_ref()
            .map(|staged| staged.partial().to_string_lossy().into_owned())
    }

    /// Makes the contents durable, by fsync.
    #[napi]
    pub async fn sync(&self) -> Option<BindingError> {
        let staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        blocking(DOING, move || staged.ok_or_else(closed)?.sync())
            .await
            .err()
            .map(Into::into)
    }

    /// Gives the file its name, by rename and fsync of the directory. The partial file is gone, whatever comes of that.
    #[napi]
    pub async fn publish(&self) -> Option<BindingError> {
        // This handle is the file's only owner unless a `sync` is still under way.
        let staged = self.take().and_then(Arc::into_inner);
        blocking(DOING, move || staged.ok_or_else(closed)?.publish())
            .await
            .err()
            .map(Into::into)
    }

    /// Removes the partial file: at once, or as soon as a `sync` that is under way ends.
    #[napi]
    pub fn discard(&self) {
        let mut place = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        self.cancel.cancel();
        drop(place.take());
    }

    fn take(&self) -> Option<Arc<StagedFile>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The copy of a kept prefix ends when nobody waits for it any more.
impl Drop for BindingStagedFile {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Removes partial files beside `target` whose makers are no more. Never fails: a file that cannot be removed stays.
#[napi]
pub async fn remove_abandoned_files(target: String) {
    let work = move || {
        remove_abandoned(target.as_ref());
        Ok(())
    };
    let _ = blocking(DOING, work).await;
}

fn closed() -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        "the staged file is not open, or is still being synced",
    )
}
