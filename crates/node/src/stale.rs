//! The search for a block's stale pages, for those who map a snapshot, and holes, for those who found out late that
//! pages are zero.

use std::ops::Range;

use mapped_ram_engine::file::{StalePages, stale_pages};
use mapped_ram_engine::memory;
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;
use crate::plan_parts::BindingPageArea;
use crate::values::{descriptor, number, offset, pairs};

/// The outcome has `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingStalePages {
    pub error: Option<BindingError>,
    /// The runs of pages: first page and number of pages in turn.
    pub runs: Vec<i64>,
    pub bytes_read: i64,
}

/// Finds the pages of the block `name` whose bits are clear although the file behind the descriptor does not read as
/// zeros there.
#[napi]
pub async fn find_stale_pages(fd: i32, name: String, area: BindingPageArea) -> BindingStalePages {
    let work = move || stale_pages(&descriptor("fd", fd)?, &name, &area.into_area()?);
    match blocking("looking for stale pages", work).await {
        Ok(StalePages { runs, bytes_read }) => BindingStalePages {
            error: None,
            runs: runs
                .into_iter()
                .flat_map(|run| [number(run.start), number(run.end - run.start)])
                .collect(),
            bytes_read: number(bytes_read),
        },
        Err(error) => BindingStalePages {
            error: Some(error.into()),
            runs: Vec::new(),
            bytes_read: 0,
        },
    }
}

/// The outcome has `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingDataRanges {
    pub error: Option<BindingError>,
    /// Offset and length of each stretch in turn, in bytes from the start of the part.
    pub runs: Vec<i64>,
}

/// Lists the stretches of a part of a file that may hold data, widened to multiples of `unit`.
#[napi]
pub async fn data_ranges(fd: i32, start: i64, length: i64, unit: i64) -> BindingDataRanges {
    let work = move || {
        let (start, length) = (offset("offset", start)?, offset("length", length)?);
        memory::data_ranges(&descriptor("fd", fd)?, start, length, offset("unit", unit)?)
    };
    match blocking("looking for data", work).await {
        Ok(found) => BindingDataRanges {
            error: None,
            runs: found
                .into_iter()
                .flat_map(|run| [number(run.start), number(run.end - run.start)])
                .collect(),
        },
        Err(error) => BindingDataRanges {
            error: Some(error.into()),
            runs: Vec::new(),
        },
    }
}

/// Makes ranges of a file read as zeros, as holes where it can have them. `ranges` has offset and length of each in
/// turn, in bytes.
#[napi]
pub async fn zero_ranges(fd: i32, ranges: Vec<i64>) -> Option<BindingError> {
    let work = move || {
        let ranges: Vec<Range<u64>> = pairs("range", &ranges)?
            .into_iter()
            .map(|(start, length)| start..start.saturating_add(length))
            .collect();
        memory::zero_ranges(&descriptor("fd", fd)?, &ranges)
    };
    blocking("making holes", work).await.err().map(Into::into)
}
