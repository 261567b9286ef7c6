//! Advisory locks on snapshots.

use mapped_ram_engine::EngineError;
use mapped_ram_engine::ErrorKind;
use mapped_ram_engine::file::{Lock, Locked, lock};
use napi_derive::napi;

use crate::error::BindingError;
use crate::values::descriptor;

/// The outcome has `error`, or what became of the lock.
#[napi(object, object_from_js = false)]
pub struct BindingLock {
    pub error: Option<BindingError>,
    #[napi(ts_type = "'yes' | 'busy' | 'unavailable'")]
    pub locked: Option<String>,
}

/// Takes, converts or gives up (`none`) the lock of the open file description behind a descriptor. Never waits.
#[napi]
pub fn lock_file(
    fd: i32,
    #[napi(ts_arg_type = "'shared' | 'exclusive' | 'none'")] wanted: String,
) -> BindingLock {
    match try_lock(fd, &wanted) {
        Ok(locked) => BindingLock {
            error: None,
            locked: Some(locked.to_owned()),
        },
        Err(error) => BindingLock {
            error: Some(error.into()),
            locked: None,
        },
    }
}

fn try_lock(fd: i32, wanted: &str) -> Result<&'static str, EngineError> {
    let wanted = match wanted {
        "shared" => Lock::Shared,
        "exclusive" => Lock::Exclusive,
        "none" => Lock::None,
        _ => {
            return Err(EngineError::new(
                ErrorKind::InvalidArgument,
                "no such kind of lock",
            ));
        }
    };
    Ok(match lock(&descriptor("fd", fd)?, wanted)? {
        Locked::Yes => "yes",
        Locked::Busy => "busy",
        Locked::Unavailable => "unavailable",
    })
}
