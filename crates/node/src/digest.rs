//! BLAKE3 of bytes, and of stretches of a file.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use mapped_ram_engine::digest::digest_ranges;
use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{CancelToken, EngineError, ErrorKind};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;
use crate::values::{file_source, pairs};

/// The outcome has exactly one of the two.
#[napi(object, object_from_js = false)]
pub struct BindingDigest {
    pub error: Option<BindingError>,
    pub digest: Option<Uint8Array>,
}

/// Digests bytes at hand.
#[napi]
pub fn digest_bytes(bytes: Uint8Array) -> Uint8Array {
    mapped_ram_engine::digest::digest_bytes(&bytes).to_vec().into()
}

/// A file, and start and end of each stretch in bytes.
type Stretches = (FileSource, Vec<(u64, u64)>);

/// A digest of stretches of a file, one after the other, that is yet to be made.
#[napi]
pub struct BindingRangeDigest {
    /// The arguments, or what is wrong with them. `run` takes them, so that the file's descriptor goes with its end.
    ready: Mutex<Option<Result<Stretches>>>,
    name: String,
    cancel: CancelToken,
}

#[napi]
impl BindingRangeDigest {
    /// Takes the arguments; `ranges` has start and end of each stretch in turn, in bytes. `run` gives the error when
    /// something is wrong with them.
    #[napi(constructor)]
    pub fn new(path: Option<String>, fd: Option<i32>, name: String, ranges: Vec<i64>) -> Self {
        let ready = file_source("file", path, fd).and_then(|source| Ok((source, pairs("range", &ranges)?)));
        Self {
            ready: Mutex::new(Some(ready)),
            name,
            cancel: CancelToken::default(),
        }
    }

    /// Makes the digest, once.
    #[napi]
    pub async fn run(&self) -> BindingDigest {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (name, cancel) = (self.name.clone(), self.cancel.clone());
        let work = move || {
            let once = || EngineError::new(ErrorKind::InvalidArgument, "a digest is made only once");
            let (source, ranges) = ready.ok_or_else(once)??;
            let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, end)| start..end).collect();
            digest_ranges(&source, &name, &ranges, &cancel)
        };
        match blocking("digesting a file", work).await {
            Ok(digest) => BindingDigest {
                error: None,
                digest: Some(digest.to_vec().into()),
            },
            Err(error) => BindingDigest {
                error: Some(error.into()),
                digest: None,
            },
        }
    }

    /// Ends `run` early, which then settles with the kind CANCELLED.
    #[napi]
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// The digest ends when nobody waits for it any more.
impl Drop for BindingRangeDigest {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
