//! Files without a name in memory.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use mapped_ram_engine::EngineError;
use mapped_ram_engine::memory::memfd;
use napi_derive::napi;

use crate::error::BindingError;

/// A file in memory, until `close`; whoever has opened it meanwhile keeps it.
#[napi]
pub struct BindingMemfd {
    file: Mutex<Option<File>>,
    error: Option<std::io::Error>,
}

#[napi]
impl BindingMemfd {
    /// Makes the file; `error` tells why there is none.
    #[napi(constructor)]
    pub fn new(name: String) -> Self {
        let (file, error) = match memfd(&name) {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            file: Mutex::new(file),
            error,
        }
    }

    /// The reason why there is no file.
    #[napi]
    pub fn error(&self) -> Option<BindingError> {
        let error = self.error.as_ref()?;
        let cause = std::io::Error::new(error.kind(), error.to_string());
        let cause = error
            .raw_os_error()
            .map_or(cause, std::io::Error::from_raw_os_error);
        Some(EngineError::io("making a file in memory", cause).into())
    }

    /// The descriptor, to be opened anew below /proc/self/fd.
    #[napi]
    #[cfg(unix)]
    pub fn fd(&self) -> Option<i32> {
        use std::os::fd::AsRawFd;
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Other platforms have no such files.
    #[napi]
    #[cfg(not(unix))]
    pub fn fd(&self) -> Option<i32> {
        None
    }

    /// Lets the descriptor go.
    #[napi]
    pub fn close(&self) {
        drop(self.file.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
