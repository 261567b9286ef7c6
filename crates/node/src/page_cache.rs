//! The page cache's state of a file, and a way to drop it.

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::{
    FileSource, PageCacheSource, PageCacheState, drop_page_cache as drop_pages, page_cache_state as state_of,
    read_ahead as fetch,
};
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;
use crate::values::{duplicate, file_source, number, offset, pairs};

/// The outcome has `error`, or everything else; nothing at all where nobody tells the state. Everything is in bytes.
#[napi(object, object_from_js = false)]
pub struct BindingPageCacheState {
    pub error: Option<BindingError>,
    pub cached_bytes: Option<i64>,
    pub dirty_bytes: Option<i64>,
    pub writeback_bytes: Option<i64>,
    #[napi(ts_type = "'cachestat' | 'mincore'")]
    pub source: Option<String>,
}

/// Asks what the page cache has of a file, from `start` up to `end`, in bytes; exactly one of `path` and `fd` names it.
#[napi]
pub fn page_cache_state(
    path: Option<String>,
    fd: Option<i32>,
    start: i64,
    end: i64,
) -> BindingPageCacheState {
    let (error, state) = match look(path, fd, start, end) {
        Ok(state) => (None, state),
        Err(error) => (Some(error.into()), None),
    };
    BindingPageCacheState {
        error,
        cached_bytes: state.map(|state| number(state.cached)),
        dirty_bytes: state.and_then(|state| state.dirty).map(number),
        writeback_bytes: state.and_then(|state| state.writeback).map(number),
        source: state.map(|state| {
            let name = match state.source {
                PageCacheSource::Cachestat => "cachestat",
                PageCacheSource::Mincore => "mincore",
            };
            name.to_owned()
        }),
    }
}

/// Makes a file durable, and drops it from the page cache.
#[napi]
pub async fn drop_page_cache(path: String) -> Option<BindingError> {
    let work = move || drop_pages(&FileSource::Path(path.into()));
    blocking("dropping the page cache", work)
        .await
        .err()
        .map(Into::into)
}

/// Has the kernel read ranges of a file into the page cache: offset and length of each in turn, in bytes.
#[napi]
pub async fn read_ahead(fd: i32, ranges: Vec<i64>) -> Option<BindingError> {
    let prepared = duplicate("file", fd).and_then(|source| Ok((source, pairs("range", &ranges)?)));
    let (source, pairs) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Some(error.into()),
    };
    let ranges: Vec<_> = pairs
        .into_iter()
        .map(|(start, length)| start..start.saturating_add(length))
        .collect();
    blocking("reading ahead", move || fetch(&source, &ranges))
        .await
        .err()
        .map(Into::into)
}

fn look(path: Option<String>, fd: Option<i32>, start: i64, end: i64) -> Result<Option<PageCacheState>> {
    state_of(
        &file_source("file", path, fd)?,
        offset("start", start)?..offset("end", end)?,
    )
}
