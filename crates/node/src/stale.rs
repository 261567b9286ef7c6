//! Stale pages of a block, for those who map a snapshot.

use mapped_ram_engine::file::{PageArea, StalePages, stale_pages};
use mapped_ram_engine::{EngineError, ErrorKind};
use napi_derive::napi;

use crate::error::BindingError;
use crate::options::{descriptor, offset};

/// A block's place in the snapshot, in bytes.
#[napi(object, object_to_js = false)]
pub struct BindingPageArea {
    /// The block's id, for errors.
    pub name: String,
    pub pages_offset: i64,
    pub bitmap_offset: i64,
    pub length: i64,
    pub page_size: i64,
}

/// `error`, or what was found.
#[napi(object, object_from_js = false)]
pub struct BindingStalePages {
    pub error: Option<BindingError>,
    /// Runs of pages: first page and number of pages in turn.
    pub runs: Vec<i64>,
    pub bytes_read: i64,
}

/// Finds the pages whose bits are clear although the file behind the descriptor does not read as zeros there.
#[napi]
pub async fn find_stale_pages(fd: i32, area: BindingPageArea) -> BindingStalePages {
    let found = tokio::task::spawn_blocking(move || find(fd, area)).await;
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

fn find(fd: i32, area: BindingPageArea) -> Result<StalePages, EngineError> {
    let area = PageArea {
        name: area.name,
        pages_offset: offset("pagesOffset", area.pages_offset)?,
        bitmap_offset: offset("bitmapOffset", area.bitmap_offset)?,
        length: offset("length", area.length)?,
        page_size: offset("pageSize", area.page_size)?,
    };
    stale_pages(&descriptor("fd", fd)?, &area)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
