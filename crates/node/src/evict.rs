//! A file's way out of the page cache.

use std::path::Path;

use mapped_ram_engine::file;
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;

/// Writes a file's dirty pages to the disk, and drops its pages from the page cache.
#[napi]
pub async fn evict_file(path: String) -> Option<BindingError> {
    let work = move || file::evict(Path::new(&path));
    blocking("dropping a file from the page cache", work)
        .await
        .err()
        .map(Into::into)
}
