//! Stale pages of a block, for those who map a snapshot.

use mapped_ram_engine::file::{StalePages, stale_pages};
use mapped_ram_engine::{EngineError, ErrorKind};
use napi_derive::napi;

use crate::error::BindingError;
use crate::options::descriptor;
use crate::plan_parts::BindingPageArea;

/// `error`, or what was found.
#[napi(object, object_from_js = false)]
pub struct BindingStalePages {
    pub error: Option<BindingError>,
    /// Runs of pages: first page and number of pages in turn.
    pub runs: Vec<i64>,
    pub bytes_read: i64,
}

/// Finds the pages of the block `name` whose bits are clear although the file behind the descriptor does not read as zeros there.
#[napi]
pub async fn find_stale_pages(fd: i32, name: String, area: BindingPageArea) -> BindingStalePages {
    let found = tokio::task::spawn_blocking(move || find(fd, &name, area)).await;
    let gone = |_| {
        Err(EngineError::new(
            ErrorKind::Internal,
            "a panic while looking for stale pages",
        ))
    };
    match found.unwrap_or_else(gone) {
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

fn find(fd: i32, name: &str, area: BindingPageArea) -> Result<StalePages, EngineError> {
    stale_pages(&descriptor("fd", fd)?, name, &area.into_area()?)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
