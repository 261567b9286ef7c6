//! A file that appears under its name only when it is complete.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use mapped_ram_engine::file::{Replace, StagedFile};
use mapped_ram_engine::{EngineError, ErrorKind};
use napi_derive::napi;

use crate::error::BindingError;

/// Dropped without `commit` (also when a worker is terminated), it removes its partial file.
#[napi]
pub struct BindingStagedFile {
    target: PathBuf,
    keep: u64,
    replace: Replace,
    staged: Mutex<Option<StagedFile>>,
}

#[napi]
impl BindingStagedFile {
    #[napi(constructor)]
    pub fn new(target: String, keep: i64, replace: bool) -> Self {
        Self {
            target: target.into(),
            keep: u64::try_from(keep).unwrap_or(0),
            replace: if replace { Replace::Allowed } else { Replace::Never },
            staged: Mutex::new(None),
        }
    }

    /// Makes the partial file and copies the kept prefix into it.
    #[napi]
    pub async fn open(&self) -> Option<BindingError> {
        let (target, keep, replace) = (self.target.clone(), self.keep, self.replace);
        match blocking(move || StagedFile::create(&target, keep, replace)).await {
            Ok(staged) => {
                *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = Some(staged);
                None
            }
            Err(error) => Some(error.into()),
        }
    }

    /// The path to write to, until `commit` or `discard`.
    #[napi]
    pub fn partial(&self) -> Option<String> {
        let staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged
            .as_ref()
            .map(|staged| staged.partial().to_string_lossy().into_owned())
    }

    /// fsync, rename, fsync of the directory.
    #[napi]
    pub async fn commit(&self) -> Option<BindingError> {
        let staged = self.take();
        let closed = || EngineError::new(ErrorKind::InvalidArgument, "the staged file is not open");
        blocking(move || staged.ok_or_else(closed)?.commit())
            .await
            .err()
            .map(Into::into)
    }

    #[napi]
    pub fn discard(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<StagedFile> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let gone = |_| {
        Err(EngineError::new(
            ErrorKind::Internal,
            "a panic while publishing the file",
        ))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(gone)
}
