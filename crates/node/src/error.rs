//! The engine's error as a plain object.

use std::any::Any;

use mapped_ram_engine::{EngineError, ErrorKind};
use napi_derive::napi;

/// An error as data, of which TypeScript makes a `MappedRamError`.
#[napi(object, object_from_js = false)]
pub struct BindingError {
    /// The tail of the error code: `IO` for `ERR_MAPPED_RAM_IO`; `CANCELLED` for a cancelled transfer.
    pub kind: String,
    pub message: String,
    pub path: Option<String>,
    pub offset: Option<i64>,
    /// The operating system's error number, positive.
    pub errno: Option<i32>,
    /// The text of the error beneath.
    pub cause: Option<String>,
}

impl From<EngineError> for BindingError {
    fn from(error: EngineError) -> Self {
        let source = error.io_source();
        Self {
            kind: code(error.kind()).to_owned(),
            message: error.message().to_owned(),
            path: error.path().map(str::to_owned),
            offset: error.offset().and_then(|offset| i64::try_from(offset).ok()),
            errno: source.and_then(std::io::Error::raw_os_error),
            cause: source.map(ToString::to_string),
        }
    }
}

/// Makes an error of a panic that was caught at the boundary.
pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> EngineError {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    EngineError::new(
        ErrorKind::Internal,
        format!("a panic in the engine: {}", words.unwrap_or("no message")),
    )
}

fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Alignment => "ALIGNMENT",
        ErrorKind::Cancelled => "CANCELLED",
        ErrorKind::Closed => "CLOSED",
        ErrorKind::Corrupt => "CORRUPT",
        ErrorKind::DirectIoUnavailable => "DIRECT_IO_UNAVAILABLE",
        ErrorKind::EngineUnavailable => "ENGINE_UNAVAILABLE",
        ErrorKind::Exists => "EXISTS",
        ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
        ErrorKind::Io => "IO",
        ErrorKind::OutOfRange => "OUT_OF_RANGE",
        ErrorKind::Truncated => "TRUNCATED",
        ErrorKind::Unsupported => "UNSUPPORTED",
        _ => "INTERNAL",
    }
}
