//! The page cache's state of a file: how much of it is in memory, and how much of that is not on the disk yet.

use std::ops::Range;

#[cfg(target_os = "linux")]
use super::residency;
use super::source::FileSource;
use crate::error::{EngineError, Result};

/// The kernel passes over pages that somebody uses at that moment. Mapped pages stay however often it is asked.
const MOST_TRIES: u32 = 5;

/// What the page cache has of a range of a file, in bytes: whole pages of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCacheState {
    pub cached: u64,
    /// The part that was written and is not on its way to the disk yet; `None` where nobody tells.
    pub dirty: Option<u64>,
    /// The part that is on its way to the disk; `None` where nobody tells.
    pub writeback: Option<u64>,
    pub source: PageCacheSource,
}

/// The system call that told the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCacheSource {
    /// cachestat(2), since Linux 6.5.
    Cachestat,
    /// mincore(2) on a mapping, which knows nothing of dirty pages.
    Mincore,
}

/// Asks what the page cache has of a range of a file. `None` where nobody tells: on other systems, for a file on
/// hugetlbfs, and for one that this process may not write, of which the kernel keeps the state secret.
/// # Errors
/// when the file cannot be opened
pub fn page_cache_state(source: &FileSource, range: Range<u64>) -> Result<Option<PageCacheState>> {
    let file = source
        .open(false)
        .map_err(|error| EngineError::io("opening the file", error).on(source.name()))?;
    Ok(state_of(&file, range))
}

/// Writes what is dirty of a file to the disk, and then drops all of its pages that nobody has mapped from the page
/// cache. A file that has no other place than memory keeps its pages.
/// # Errors
/// when the file cannot be opened or written back, and on other systems than Linux
pub fn drop_page_cache(source: &FileSource) -> Result<()> {
    let failed = |error| EngineError::io("dropping the file's page cache", error).on(source.name());
    let file = source.open(false).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    for _ in 0..MOST_TRIES {
        forget(&file).map_err(failed)?;
        if state_of(&file, 0..u64::MAX).is_none_or(|state| state.cached == 0) {
            break;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
pub(crate) fn state_of(file: &std::fs::File, range: Range<u64>) -> Option<PageCacheState> {
    use rustix::io::Errno;
    if range.is_empty() {
        // A length of zero would mean everything up to the end.
        return Some(PageCacheState {
            cached: 0,
            dirty: Some(0),
            writeback: Some(0),
            source: PageCacheSource::Cachestat,
        });
    }
    let page = rustix::param::page_size() as u64;
    match cachestat(file, range.clone()) {
        Ok(found) => Some(PageCacheState {
            cached: found.cached * page,
            dirty: Some(found.dirty * page),
            writeback: Some(found.writeback * page),
            source: PageCacheSource::Cachestat,
        }),
        // Seccomp profiles say EPERM to what they do not know, and so does the kernel of files that are none of ours.
        Err(Errno::NOSYS | Errno::PERM) => residency::cached_pages(file, range).map(|pages| PageCacheState {
            cached: pages * page,
            dirty: None,
            writeback: None,
            source: PageCacheSource::Mincore,
        }),
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn state_of(_file: &std::fs::File, _range: Range<u64>) -> Option<PageCacheState> {
    None
}

#[cfg(target_os = "linux")]
fn forget(file: &std::fs::File) -> std::io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn forget(_file: &std::fs::File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// `struct cachestat` of linux/mman.h: numbers of pages.
#[cfg(target_os = "linux")]
#[derive(Default)]
#[repr(C)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

#[cfg(target_os = "linux")]
fn cachestat(file: &std::fs::File, range: Range<u64>) -> rustix::io::Result<Cachestat> {
    use std::os::fd::AsRawFd;
    /// The call's number, which is the same on every architecture that this package is built for. The C libraries do not
    /// know it yet.
    const SYS_CACHESTAT: libc::c_long = 451;
    /// `struct cachestat_range` of linux/mman.h.
    #[repr(C)]
    struct Bytes {
        offset: u64,
        length: u64,
    }
    let bytes = Bytes {
        offset: range.start,
        length: range.end - range.start,
    };
    let mut found = Cachestat::default();
    let flags: libc::c_uint = 0;
    // SAFETY: needed because no library has a safe call. It is sound because the kernel reads one of the structures and
    // writes the other, both have the layouts that it expects, and both live until the call returns.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw const bytes,
            &raw mut found,
            flags,
        )
    };
    if result == 0 {
        return Ok(found);
    }
    let error = std::io::Error::last_os_error();
    Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}
