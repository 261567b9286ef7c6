//! A file whose pages are read through the page cache.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::file::source::open;
use mapped_ram_engine::{EngineError, ErrorKind};
use rustix::fs::{Advice, fadvise, fstatfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::records::PAGE_SIZE;

/// The magic number of tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// An open file, and what it has told of reads so far.
#[derive(Debug)]
pub(crate) struct BufferedFile {
    file: File,
    name: String,
    /// False once the filesystem has said that it cannot tell whether a read waits.
    tells_waiting: AtomicBool,
    /// The file is in memory as it is: no read waits for a disk.
    never_waits: bool,
}

impl BufferedFile {
    pub(crate) fn open(source: &FileSource, name: String) -> Result<Self> {
        // A description of our own has no O_DIRECT. A descriptor that cannot be opened anew must do as it is.
        let anew = source.path().map(|path| open(&path, false));
        let file = match (anew, source) {
            (Some(Ok(file)), _) => Ok(file),
            (Some(Err(error)), FileSource::Path(_)) => Err(error),
            _ => source.open(false),
        };
        let file = file.map_err(|error| EngineError::io("opening the snapshot", error).on(name.clone()))?;
        let never_waits = fstatfs(&file).is_ok_and(|system| u64::try_from(system.f_type) == Ok(TMPFS));
        Ok(Self {
            file,
            name,
            tells_waiting: AtomicBool::new(true),
            never_waits,
        })
    }

    /// Fills in bytes that are no pages.
    pub(crate) fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Reads pages if that takes no waiting.
    pub(crate) fn read_now(&self, offset: u64, slots: &mut [IoSliceMut<'_>]) -> Result<bool> {
        if !self.tells_waiting.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let flags = if self.never_waits {
            ReadWriteFlags::empty()
        } else {
            ReadWriteFlags::NOWAIT
        };
        match preadv2(&self.file, slots, offset, flags) {
            // The rest is not in the page cache, or behind the end: the waiting read finds out.
            Ok(read) => Ok(read as u64 == slots.len() as u64 * PAGE_SIZE),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.tells_waiting.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(read_failed(&self.name, offset, error.into())),
        }
    }

    /// Tells the kernel that pages will be read.
    pub(crate) fn announce(&self, offset: u64, pages: usize) {
        let length = std::num::NonZeroU64::new(pages as u64 * PAGE_SIZE);
        // The read itself tells what is wrong with the file.
        let _ = fadvise(&self.file, offset, length, Advice::WillNeed);
    }

    /// Reads pages, however long it takes.
    pub(crate) fn read(&self, offset: u64, slots: &mut [IoSliceMut<'_>]) -> Result<()> {
        let whole = loop {
            match preadv2(&self.file, slots, offset, ReadWriteFlags::empty()) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let whole = whole.map_err(|error| read_failed(&self.name, offset, error.into()))?;
        if whole as u64 == slots.len() as u64 * PAGE_SIZE {
            return Ok(());
        }
        // A read that was cut short: page by page, so that each is whole or an error.
        for (index, slot) in (0..).zip(slots) {
            let offset = offset + index * PAGE_SIZE;
            self.file
                .read_exact_at(slot, offset)
                .map_err(|error| read_failed(&self.name, offset, error))?;
        }
        Ok(())
    }
}

/// The error of a page that was not read, which names the place in its file.
pub(crate) fn read_failed(name: &str, offset: u64, error: io::Error) -> EngineError {
    let error = if error.kind() == io::ErrorKind::UnexpectedEof {
        EngineError::new(ErrorKind::Truncated, "the file ends before the page does")
    } else {
        EngineError::io("reading a page", error)
    };
    error.at(name, offset)
}
