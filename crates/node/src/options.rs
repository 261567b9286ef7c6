//! Arguments of the binding as the engine's types.

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{EngineError, ErrorKind};

pub(crate) fn file_source(what: &str, path: Option<String>, fd: Option<i32>) -> Result<FileSource> {
    match (path, fd) {
        (Some(path), None) => Ok(FileSource::Path(path.into())),
        (None, Some(fd)) => descriptor(what, fd),
        _ => Err(invalid(
            what,
            "exactly one of a path, a descriptor and a buffer",
            "none or several",
        )),
    }
}

#[cfg(unix)]
pub(crate) fn descriptor(_what: &str, fd: i32) -> Result<FileSource> {
    Ok(FileSource::Fd(fd))
}

#[cfg(not(unix))]
pub(crate) fn descriptor(what: &str, _fd: i32) -> Result<FileSource> {
    Err(EngineError::new(
        ErrorKind::Unsupported,
        format!("{what}: descriptors can be given on Unix only"),
    ))
}

pub(crate) fn offset(what: &str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| invalid(what, "0 or more", &value.to_string()))
}

pub(crate) fn count<T: TryInto<usize>>(value: T) -> Result<usize> {
    value
        .try_into()
        .map_err(|_| EngineError::new(ErrorKind::OutOfRange, "number too large for this machine"))
}

pub(crate) fn invalid(what: &str, expected: &str, found: &str) -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        format!("{what}: expected {expected}, found {found}"),
    )
}
