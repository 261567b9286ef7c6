//! Writes to hugetlbfs, which has no write(2): they go through a shared mapping, but by the kernel's hand.
//!
//! A store into a mapping whose huge page cannot be had raises SIGBUS and would kill the process. A pwrite to
//! /proc/self/mem at the mapping's address fails with EIO instead.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::OnceLock;

use rustix::mm::{MapFlags, ProtFlags};

use crate::error::{EngineError, Result};
use crate::file::positional;

/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

#[derive(Debug)]
pub(super) struct HugetlbSink {
    own_memory: File,
    name: String,
    page_size: u64,
    mapping: OnceLock<Mapping>,
}

impl HugetlbSink {
    /// `Some` when the file lies on hugetlbfs and is to be written.
    pub(super) fn open_if_needed(file: &File, name: &str, write: bool) -> Result<Option<Self>> {
        let failed = |error: io::Error| EngineError::io("opening guest memory on hugetlbfs", error).on(name);
        let filesystem = rustix::fs::fstatfs(file).map_err(|error| failed(error.into()))?;
        if !write || u64::try_from(filesystem.f_type).ok() != Some(HUGETLBFS_MAGIC) {
            return Ok(None);
        }
        let own_memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/mem")
            .map_err(failed)?;
        let page_size = u64::try_from(filesystem.f_bsize).unwrap_or(0).max(4096);
        Ok(Some(Self {
            own_memory,
            name: name.to_owned(),
            page_size,
            mapping: OnceLock::new(),
        }))
    }

    pub(super) fn page_size(&self) -> u64 {
        self.page_size
    }

    /// Maps the whole file, once. mmap reserves the huge pages, so too few of them are ENOMEM here, before any byte
    /// moves.
    pub(super) fn map(&self, file: &File, size: u64) -> Result<()> {
        if self.mapping.get().is_some() {
            return Ok(());
        }
        let mapping = Mapping::new(file, size).map_err(|error| {
            EngineError::io(format!("mapping {size} bytes of huge pages"), error).on(&self.name)
        })?;
        let _ = self.mapping.set(mapping);
        Ok(())
    }

    pub(super) fn write(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mapping = self.mapping.get().ok_or(io::ErrorKind::InvalidInput)?;
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|end| *end <= mapping.length as u64);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        positional::write_all_at(&self.own_memory, buffer, mapping.address as u64 + offset)
    }
}

/// A mapping that nobody here looks into. Its address is only a number, an offset of writes to /proc/self/mem, and the
/// kernel orders those writes. So channels may share the mapping.
#[derive(Debug)]
struct Mapping {
    address: usize,
    length: usize,
}

impl Mapping {
    fn new(file: &File, size: u64) -> io::Result<Self> {
        let length = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: needed because hugetlbfs can only be written through a mapping. It is sound because a new mapping at
        // an address of the kernel's choice overlaps nothing.
        let address =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, file, 0) }?;
        let address = address.expose_provenance();
        Ok(Self { address, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = std::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: needed because nothing else gives a mapping back. It is sound because the range is the one that mmap
        // returned, it is unmapped once, and nobody has made a reference into it.
        let _ = unsafe { rustix::mm::munmap(address, self.length) };
    }
}
