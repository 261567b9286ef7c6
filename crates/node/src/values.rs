//! Plain values of JavaScript as the engine's, and back.

use std::ops::Range;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{EngineError, ErrorKind};

pub(crate) fn file_source(what: &str, path: Option<String>, fd: Option<i32>) -> Result<FileSource> {
    match (path, fd) {
        (Some(path), None) => Ok(FileSource::Path(path.into())),
        (None, Some(fd)) => duplicate(what, fd),
        _ => Err(invalid(
            what,
            "exactly one of a path, a descriptor and a buffer",
            "none or several",
        )),
    }
}

/// A descriptor of our own, for work that goes on when the call from JavaScript has returned.
#[cfg(unix)]
pub(crate) fn duplicate(_what: &str, fd: i32) -> Result<FileSource> {
    FileSource::duplicate_of(fd)
}

#[cfg(not(unix))]
pub(crate) fn duplicate(what: &str, fd: i32) -> Result<FileSource> {
    descriptor(what, fd)
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

/// Pairs up numbers of bytes. An odd one at the end is left out.
pub(crate) fn pairs(what: &str, numbers: &[i64]) -> Result<Vec<(u64, u64)>> {
    let (pairs, _) = numbers.as_chunks::<2>();
    pairs
        .iter()
        .map(|[first, second]| Ok((offset(what, *first)?, offset(what, *second)?)))
        .collect()
}

/// Turns a number of JavaScript into a number of bytes, or an address.
pub(crate) fn bytes(what: &str, value: f64) -> Result<u64> {
    /// The largest whole number below which JavaScript has all of them.
    const MOST: f64 = 9_007_199_254_740_991.0;
    if !(0.0..=MOST).contains(&value) || value.fract() != 0.0 {
        let expected = "a whole number of bytes, 0 or more";
        return Err(invalid(what, expected, &value.to_string()));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is whole and in range"
    )]
    Ok(value as u64)
}

/// Turns offsets and lengths, in turn, into ranges.
pub(crate) fn ranges(what: &str, numbers: &[f64]) -> Result<Vec<Range<u64>>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid(what, "offset and length in turn", "an offset alone"));
    }
    pairs
        .iter()
        .map(|[start, length]| {
            let start = bytes(what, *start)?;
            Ok(start..start + bytes(what, *length)?)
        })
        .collect()
}

/// Turns ranges into offsets and lengths, in turn.
pub(crate) fn flat(ranges: Vec<Range<u64>>) -> Vec<f64> {
    let numbers = ranges
        .into_iter()
        .flat_map(|range| [range.start, range.end - range.start]);
    numbers.map(|number| number as f64).collect()
}

/// Turns into a number of JavaScript, which no size of a file exceeds.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn invalid(what: &str, expected: &str, found: &str) -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        format!("{what}: expected {expected}, found {found}"),
    )
}
