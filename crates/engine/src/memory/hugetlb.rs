//! Writes to hugetlbfs, which has no write(2): they go through a shared mapping, but by the kernel's hand.
//!
//! A store into a mapping whose huge page cannot be had raises SIGBUS and would kill the process. A pwrite to
//! /proc/self/mem at the mapping's address fails with EIO instead.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::{Arc, OnceLock};

use crate::error::{EngineError, Result};
use crate::file::positional;
use crate::mapping::Mapping;

#[derive(Debug)]
pub(super) struct HugetlbSink {
    own_memory: File,
    name: String,
    page_size: u64,
    mapping: OnceLock<Arc<Mapping>>,
}

impl HugetlbSink {
    /// `Some` when the file lies on hugetlbfs and is to be written.
    pub(super) fn open_if_needed(huge_page: Option<u64>, name: &str, write: bool) -> Result<Option<Self>> {
        let Some(page_size) = huge_page.filter(|_| write) else {
            return Ok(None);
        };
        let own_memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/mem")
            .map_err(|error| EngineError::io("opening guest memory on hugetlbfs", error).on(name))?;
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
        let mapping = Mapping::new(file, &self.name, size, true, self.page_size).map_err(|error| {
            EngineError::io(format!("mapping {size} bytes of huge pages"), error).on(&self.name)
        })?;
        let _ = self.mapping.set(Arc::new(mapping));
        Ok(())
    }

    pub(super) fn write(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mapping = self.mapping.get().ok_or(io::ErrorKind::InvalidInput)?;
        let address = mapping.part(offset, buffer.len())?.addr().get();
        positional::write_all_at(&self.own_memory, buffer, address as u64)
    }

    pub(super) fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.mapping.get()
    }
}
