//! The page cache's state of real files, on the disk on which the tests were built.

#![cfg(target_os = "linux")]

use std::io::Write;

use mapped_ram_engine::file::{FileSource, PageCacheSource, drop_page_cache, page_cache_state};

const LENGTH: u64 = 4 << 20;

/// Temporary files may be in memory elsewhere.
const DISK: &str = env!("CARGO_TARGET_TMPDIR");

#[test]
fn a_file_is_dirty_then_clean_then_gone_from_the_cache() {
    let mut file = tempfile::NamedTempFile::new_in(DISK).unwrap();
    let source = FileSource::Path(file.path().to_owned());
    file.write_all(&[7; 1 << 20]).unwrap();
    let written = page_cache_state(&source, 0..LENGTH).unwrap().unwrap();
    assert_eq!(written.cached, 1 << 20);
    if written.source == PageCacheSource::Cachestat {
        // Another process may make the system write everything back, but not each time.
        let mut is_dirty = |_| {
            file.write_all(&[7; 1 << 10]).unwrap();
            let state = page_cache_state(&source, 0..LENGTH).unwrap().unwrap();
            state.dirty.unwrap() + state.writeback.unwrap() > 0
        };
        assert!((0..100).any(&mut is_dirty));
    }
    file.as_file().sync_all().unwrap();
    let synced = page_cache_state(&source, 0..LENGTH).unwrap().unwrap();
    assert!(synced.cached >= 1 << 20);
    assert_eq!(synced.dirty.unwrap_or(0), 0);
    assert_eq!(synced.writeback.unwrap_or(0), 0);
    drop_page_cache(&source).unwrap();
    let dropped = page_cache_state(&source, 0..LENGTH).unwrap().unwrap();
    assert_eq!(dropped.cached, 0);
}

#[test]
fn only_the_range_counts() {
    let mut file = tempfile::NamedTempFile::new_in(DISK).unwrap();
    let source = FileSource::Path(file.path().to_owned());
    file.write_all(&[7; 1 << 20]).unwrap();
    let cached = |range| page_cache_state(&source, range).unwrap().unwrap().cached;
    assert_eq!(cached(0..0), 0);
    assert_eq!(cached(5..5), 0);
    assert_eq!(cached((1 << 19)..(2 << 20)), 1 << 19);
    assert_eq!(cached((1 << 20)..(2 << 20)), 0);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let source = FileSource::Path("/nonexistent/file".into());
    assert!(page_cache_state(&source, 0..LENGTH).is_err());
    assert!(drop_page_cache(&source).is_err());
    assert!(page_cache_state(&FileSource::Fd(-1), 0..LENGTH).is_err());
}
