//! Probes of this host and of a directory.

use std::path::Path;

use mapped_ram_engine::file::probe_directory;
use mapped_ram_engine::queue::probe_io_uring;
use mapped_ram_engine::userfaultfd::probe_userfaultfd;
use napi_derive::napi;

#[napi(object, object_from_js = false)]
pub struct BindingAvailability {
    pub available: bool,
    /// The reason when it is not available.
    pub why: Option<String>,
}

#[napi(object, object_from_js = false)]
pub struct BindingDirectIoProbe {
    pub available: bool,
    /// The reason when it is not available.
    pub why: Option<String>,
    pub memory_alignment: Option<u32>,
    pub offset_alignment: Option<u32>,
}

/// Makes a ring and lets it go.
#[napi]
pub fn probe_ring() -> BindingAvailability {
    let why = probe_io_uring().err();
    BindingAvailability {
        available: why.is_none(),
        why,
    }
}

/// Tries direct I/O with a temporary file in `directory`, which must be writable.
#[napi]
pub fn probe_direct_io(directory: String) -> BindingDirectIoProbe {
    match probe_directory(Path::new(&directory)) {
        Ok(alignment) => BindingDirectIoProbe {
            available: true,
            why: None,
            memory_alignment: Some(alignment.memory),
            offset_alignment: Some(alignment.offset),
        },
        Err(error) => BindingDirectIoProbe {
            available: false,
            why: Some(error.to_string()),
            memory_alignment: None,
            offset_alignment: None,
        },
    }
}

/// Opens a userfaultfd and lets it go.
#[napi]
pub fn probe_faults() -> BindingAvailability {
    let why = probe_userfaultfd().err();
    BindingAvailability {
        available: why.is_none(),
        why,
    }
}
