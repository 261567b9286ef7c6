//! Files that share the blocks of another.

use mapped_ram_engine::file::{Cloned, clone_file as clone};
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;
use crate::values::descriptor;

/// The outcome has `error`, or says whether the file is a clone now.
#[napi(object, object_from_js = false)]
pub struct BindingClone {
    pub error: Option<BindingError>,
    /// Why the filesystem cannot; undefined for a clone.
    pub unavailable: Option<String>,
}

/// Makes the file behind `into` a copy of the file behind `from` that shares its blocks. XFS copies `unit` bytes at a
/// time when one of the two is written.
#[napi]
pub async fn clone_file(from: i32, into: i32, unit: u32) -> BindingClone {
    let work = move || clone(&descriptor("fd", from)?, &descriptor("fd", into)?, unit);
    match blocking("cloning", work).await {
        Ok(Cloned::Yes) => BindingClone {
            error: None,
            unavailable: None,
        },
        Ok(Cloned::Unavailable(why)) => BindingClone {
            error: None,
            unavailable: Some(why.to_string()),
        },
        Err(error) => BindingClone {
            error: Some(error.into()),
            unavailable: None,
        },
    }
}
