//! The pages of a file that are in memory, as mincore(2) tells them through a mapping.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use rustix::ffi::c_void;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::mm::{MapFlags, ProtFlags};

/// The most bytes that are mapped at once.
const PIECE: u64 = 1 << 30;

/// Counts the pages of the system that are in memory and hold a part of `range`. `None` where nobody tells.
pub(super) fn cached_pages(file: &File, range: Range<u64>) -> Option<u64> {
    // Of a file that this process may not write, mincore says that all pages are in memory.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    accessat(CWD, path.as_str(), Access::WRITE_OK, AtFlags::EACCESS).ok()?;
    let page = rustix::param::page_size();
    let end = range.end.min(file.metadata().ok()?.len());
    let mut start = range.start - range.start % page as u64;
    let mut found = 0;
    while start < end {
        let length = usize::try_from((end - start).min(PIECE)).ok()?;
        let states = Mapping::new(file, start, length, 0)?.states(0, length)?;
        found += states.iter().map(|state| u64::from(state & 1)).sum::<u64>();
        start += PIECE;
    }
    Some(found)
}

/// A mapping that nobody looks into: a file that is cut short meanwhile does no harm. It takes no huge pages, and keeps
/// none for itself.
pub(crate) struct Mapping {
    address: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    /// Maps a part of a file, at address `wish` where nothing else is, and anywhere for 0.
    pub(crate) fn new(file: &File, offset: u64, length: usize, wish: usize) -> Option<Self> {
        // SAFETY: needed because the kernel tells the state of mapped pages only. It is sound because a new mapping whose
        // address is only wished for overlaps nothing, and nobody may access it.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::without_provenance_mut(wish),
                length,
                ProtFlags::empty(),
                MapFlags::SHARED | MapFlags::NORESERVE,
                file,
                offset,
            )
        };
        let address = NonNull::new(address.ok()?)?;
        Some(Self { address, length })
    }

    pub(crate) fn address(&self) -> usize {
        self.address.addr().get()
    }

    /// The state of each page of the system in a part: the lowest bit is set when it is in memory.
    pub(crate) fn states(&self, start: usize, length: usize) -> Option<Vec<u8>> {
        start.checked_add(length).filter(|end| *end <= self.length)?;
        let mut states = vec![0; length.div_ceil(rustix::param::page_size())];
        let address = self.address.as_ptr().wrapping_byte_add(start);
        // SAFETY: needed because no library has a safe call. It is sound because the range is inside the mapping, and the
        // kernel writes one byte for each page of it, for which the vector has room.
        let result = unsafe { libc::mincore(address, length, states.as_mut_ptr()) };
        (result == 0).then_some(states)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: needed because nothing else gives a mapping back. It is sound because the range is the one that mmap
        // returned, it is unmapped once, and nobody has made a reference into it.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::cached_pages;

    #[test]
    fn holes_are_in_no_memory_and_written_pages_are() {
        let file = tempfile::tempfile().unwrap();
        let page = rustix::param::page_size() as u64;
        file.set_len(64 * page).unwrap();
        file.write_all_at(&[7; 10], 9 * page).unwrap();
        file.write_all_at(&[7; 10], 40 * page - 5).unwrap();
        assert_eq!(cached_pages(&file, 0..u64::MAX), Some(3));
        assert_eq!(cached_pages(&file, page + 1..40 * page), Some(2));
        assert_eq!(cached_pages(&file, 39 * page + 17..39 * page + 18), Some(1));
        assert_eq!(cached_pages(&file, 64 * page..70 * page), Some(0));
    }
}
