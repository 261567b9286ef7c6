//! An error, told again.

use std::io;

use mapped_ram_engine::EngineError;

/// Makes the error anew with other words: several callers get the same one.
pub(crate) fn reworded(error: &EngineError, words: impl Into<String>) -> EngineError {
    let mut other = EngineError::new(error.kind(), words);
    if let Some(path) = error.path() {
        other = match error.offset() {
            Some(offset) => other.at(path, offset),
            None => other.on(path),
        };
    }
    match error.io_source() {
        Some(source) => other.caused_by(match source.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(source.kind(), source.to_string()),
        }),
        None => other,
    }
}
