//! Files of guest memory in huge pages, mapped for the kernel alone.
//!
//! A load from a mapping of a file that somebody cuts short raises SIGBUS and would kill the process. A system call that
//! is given the same address fails with EFAULT. So nobody here looks into a mapping: its addresses go to system calls.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

/// A shared mapping of the start of a file.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// The address is only a number here, and the kernel orders what it does there. So channels may share the mapping.
    address: usize,
    length: usize,
    /// The name of the file, for errors.
    name: String,
}

/// A part of a mapping that takes the place of a slot's bytes.
#[derive(Debug, Clone)]
pub struct Loan {
    mapping: Arc<Mapping>,
    offset: u64,
    length: usize,
}

impl Loan {
    /// Lends a part that lies inside the mapping.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: u64, length: usize) -> io::Result<Self> {
        mapping.part(offset, length)?;
        Ok(Self {
            mapping: Arc::clone(mapping),
            offset,
            length,
        })
    }

    /// Gives the address of a range of the part, for the kernel.
    pub(crate) fn part(&self, start: usize, length: usize) -> io::Result<NonNull<u8>> {
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.mapping.part(self.offset + start as u64, length)
    }

    /// The name of the file, and the offset in it of a byte of the part.
    pub(crate) fn place(&self, start: usize) -> (&str, u64) {
        (&self.mapping.name, self.offset + start as u64)
    }

    /// Writes a range of the part to `offset` of `file`, once.
    #[cfg(target_os = "linux")]
    pub(crate) fn write_to(
        &self,
        file: &File,
        start: usize,
        length: usize,
        offset: u64,
    ) -> io::Result<usize> {
        use std::os::fd::AsRawFd;
        let address = self.part(start, length)?.as_ptr();
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: needed because safe calls take a slice, and memory that can go at any time is none. It is sound
        // because only the kernel reads there, and says EFAULT where nothing is mapped.
        let count = unsafe { libc::pwrite64(file.as_raw_fd(), address.cast(), length, offset) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Reads a range of the part from `offset` of `file`, once.
    #[cfg(target_os = "linux")]
    pub(crate) fn read_from(
        &self,
        file: &File,
        start: usize,
        length: usize,
        offset: u64,
    ) -> io::Result<usize> {
        use std::os::fd::AsRawFd;
        let address = self.part(start, length)?.as_ptr();
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: needed because safe calls take a slice, and memory that others use is none. It is sound because only
        // the kernel writes there, inside a mapping that `self` keeps and of which nobody has a reference.
        let count = unsafe { libc::pread64(file.as_raw_fd(), address.cast(), length, offset) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

impl Mapping {
    /// Gives the address of a range of the file, for the kernel. A range outside the mapping is an error.
    pub(crate) fn part(&self, offset: u64, length: usize) -> io::Result<NonNull<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        NonNull::new(std::ptr::with_exposed_provenance_mut(self.address + start))
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(target_os = "linux")]
impl Mapping {
    /// Maps the first `length` bytes of a file of huge pages. These are reserved for a mapping that is to be written.
    pub(crate) fn new(file: &File, name: &str, length: u64, write: bool, huge_page: u64) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        // Huge pages can be unmapped as a whole only.
        let length = length.checked_next_multiple_of(huge_page);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or(io::ErrorKind::OutOfMemory)?;
        let (access, flags) = if write {
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
        } else {
            (ProtFlags::READ, MapFlags::SHARED | MapFlags::NORESERVE)
        };
        // SAFETY: needed because the kernel moves bytes to or from a file's pages without a copy only at an address.
        // It is sound because a new mapping at an address of the kernel's choice overlaps nothing.
        let address = unsafe { mmap(std::ptr::null_mut(), length, access, flags, file, 0) }?;
        Ok(Self {
            address: address.expose_provenance(),
            length,
            name: name.to_owned(),
        })
    }

    /// Has the kernel write the first `head` bytes of each page of a range to `file`. Returns how many bytes it wrote.
    pub(crate) fn write_heads(
        &self,
        offset: u64,
        page: usize,
        count: usize,
        head: usize,
        file: &impl std::os::fd::AsRawFd,
    ) -> io::Result<usize> {
        let start = self.part(offset, page * count)?.as_ptr();
        let heads: Vec<libc::iovec> = (0..count)
            .map(|index| libc::iovec {
                iov_base: start.wrapping_add(index * page).cast(),
                iov_len: head.min(page),
            })
            .collect();
        let entries = libc::c_int::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: needed because safe calls take slices, and memory that can go at any time is none. It is sound
        // because only the kernel reads there, and says EFAULT where nothing is mapped; the entries outlive the call.
        let written = unsafe { libc::writev(file.as_raw_fd(), heads.as_ptr(), entries) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mapping {
    fn drop(&mut self) {
        let address = std::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: needed because nothing else gives a mapping back. It is sound because the range is the one that mmap
        // returned, it is unmapped once, and nobody has made a reference into it.
        let _ = unsafe { rustix::mm::munmap(address, self.length) };
    }
}
