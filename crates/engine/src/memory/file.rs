//! Guest memory in a file: plain, tmpfs, memfd or hugetlbfs.
//!
//! It is read and written with pread and pwrite, never through a mapping: a first touch costs a page fault per 4 KiB
//! (a CPU second per 2 GiB was measured), and a mapping of a file that somebody truncates would kill the process.

use std::fs::File;
use std::io;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::position;
use crate::file::{FileSource, reopen};

#[derive(Debug)]
pub struct FileMemory {
    file: File,
    name: String,
    /// The descriptor is ours alone, so moving its position (SEEK_DATA does) disturbs nobody.
    private: bool,
    #[cfg(target_os = "linux")]
    hugetlb: Option<super::hugetlb::HugetlbSink>,
}

impl FileMemory {
    pub(super) fn open(source: &FileSource, write: bool) -> Result<Self> {
        let name = source.name();
        let failed = |error| EngineError::io("opening guest memory", error).on(&name);
        // Re-opening gives a description of our own; a descriptor that cannot be re-opened is duplicated.
        let reopened = source.path().and_then(|path| reopen::open(&path, write).ok());
        let private = reopened.is_some();
        let file = match reopened {
            Some(file) => file,
            None => source.open(write).map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(EngineError::new(
                ErrorKind::Unsupported,
                format!(
                    "guest memory: expected a regular file or memfd, found {}",
                    reopen::kind_of(metadata.file_type())
                ),
            )
            .on(&name));
        }
        Ok(Self {
            #[cfg(target_os = "linux")]
            hugetlb: super::hugetlb::HugetlbSink::open_if_needed(&file, &name, write)?,
            file,
            name,
            private,
        })
    }

    pub(super) fn require(&self, offset: u64, length: u64, grow: bool) -> Result<()> {
        let needed = offset.saturating_add(length);
        let size = self
            .file
            .metadata()
            .map_err(|error| self.failed("reading the size", offset, error))?
            .len();
        if size < needed && grow {
            return self.grow(needed);
        }
        if size < needed {
            return Err(EngineError::new(
                ErrorKind::Truncated,
                format!("guest memory is too small: expected {needed} bytes, found {size}"),
            )
            .on(&self.name));
        }
        #[cfg(target_os = "linux")]
        if let Some(sink) = &self.hugetlb {
            return sink.map(&self.file, size);
        }
        Ok(())
    }

    fn grow(&self, needed: u64) -> Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(sink) = &self.hugetlb {
            let size = needed.next_multiple_of(sink.page_size());
            self.file
                .set_len(size)
                .map_err(|error| self.failed("growing guest memory", needed, error))?;
            return sink.map(&self.file, size);
        }
        self.file
            .set_len(needed)
            .map_err(|error| self.failed("growing guest memory", needed, error))
    }

    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        #[cfg(target_os = "linux")]
        if self.private {
            return match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
                Ok(data) => Some(data),
                // A hole up to the file's end. Where that end has moved meanwhile, reading there says so.
                Err(rustix::io::Errno::NXIO) => self.file.metadata().ok().map(|metadata| metadata.len()),
                // The filesystem cannot tell: all of it may be data.
                Err(_) => Some(offset),
            };
        }
        let _ = self.private;
        Some(offset)
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let count = position::read_full_at(&self.file, buffer, offset)
            .map_err(|error| self.failed("reading guest memory", offset, error))?;
        if count < buffer.len() {
            return Err(EngineError::new(
                ErrorKind::Truncated,
                format!(
                    "guest memory ended: expected {} bytes, found {count}",
                    buffer.len()
                ),
            )
            .at(&self.name, offset));
        }
        Ok(())
    }

    pub(super) fn write(&self, buffer: &[u8], offset: u64) -> Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(sink) = &self.hugetlb {
            return sink
                .write(buffer, offset)
                .map_err(|error| self.failed("writing guest memory", offset, error));
        }
        position::write_all_at(&self.file, buffer, offset)
            .map_err(|error| self.failed("writing guest memory", offset, error))
    }

    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::FallocateFlags;
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if rustix::fs::fallocate(&self.file, punch, offset, length).is_ok() {
                return Ok(());
            }
        }
        let zeros = [0; 65536];
        let mut done = 0;
        while done < length {
            let piece = usize::try_from(length - done)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            self.write(&zeros[..piece], offset + done)?;
            done += piece as u64;
        }
        Ok(())
    }

    fn failed(&self, doing: &str, offset: u64, error: io::Error) -> EngineError {
        EngineError::io(doing, error).at(&self.name, offset)
    }
}
