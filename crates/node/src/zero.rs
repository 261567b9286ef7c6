//! Holes, for those who found out late that pages are zero.

use std::ops::Range;

use mapped_ram_engine::memory;
use mapped_ram_engine::{EngineError, ErrorKind};
use napi_derive::napi;

use crate::error::BindingError;
use crate::options::{descriptor, offset};

/// Makes ranges of a file read as zeros, as holes where it can have them. `ranges`: offset and length in turn, in bytes.
#[napi]
pub async fn zero_ranges(fd: i32, ranges: Vec<i64>) -> Option<BindingError> {
    let done = tokio::task::spawn_blocking(move || zero(fd, &ranges)).await;
    let gone = |_| {
        Err(EngineError::new(
            ErrorKind::Internal,
            "a panic while making holes",
        ))
    };
    done.unwrap_or_else(gone).err().map(Into::into)
}

fn zero(fd: i32, ranges: &[i64]) -> Result<(), EngineError> {
    let (pairs, _) = ranges.as_chunks::<2>();
    let ranges: Vec<Range<u64>> = pairs
        .iter()
        .map(|[start, length]| {
            let start = offset("start of a range", *start)?;
            Ok(start..start.saturating_add(offset("length of a range", *length)?))
        })
        .collect::<Result<_, EngineError>>()?;
    memory::zero_ranges(&descriptor("fd", fd)?, &ranges)
}
