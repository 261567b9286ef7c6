//! Guest memory in a file: plain, tmpfs, memfd or hugetlbfs.
//!
//! The engine reads and writes it by system calls. It never looks into a mapping, since one of a file that somebody
//! truncates would kill the process; memory that is mapped is for the kernel alone (`in_place`).

use std::fs::File;
use std::io;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::sync::Arc;

#[cfg(target_os = "linux")]
use super::filesystem::huge_page_size;
#[cfg(target_os = "linux")]
use super::huge_pages;
#[cfg(target_os = "linux")]
use super::hugetlb::HugetlbSink;
#[cfg(target_os = "linux")]
use super::in_place::InPlace;
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::extents::next_extent;
use crate::file::{FileSource, Identity, positional, source};
use crate::pages::is_zero;

#[derive(Debug)]
pub struct FileMemory {
    file: File,
    name: String,
    /// True when the description is ours alone, so that moving its position (SEEK_DATA does) disturbs nobody.
    private: bool,
    #[cfg(target_os = "linux")]
    huge_page: Option<u64>,
    #[cfg(target_os = "linux")]
    hugetlb: Option<HugetlbSink>,
}

impl FileMemory {
    pub(super) fn open(source: &FileSource, write: bool) -> Result<Self> {
        let name = source.name();
        let failed = |error| EngineError::io("opening guest memory", error).on(&name);
        let (file, private) = source.reopen_or_duplicate(write).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(EngineError::new(
                ErrorKind::Unsupported,
                format!(
                    "guest memory: expected a regular file or memfd, found {}",
                    source::kind_of(metadata.file_type())
                ),
            )
            .on(&name));
        }
        #[cfg(target_os = "linux")]
        let huge_page = huge_page_size(&file).map_err(failed)?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            hugetlb: HugetlbSink::open_if_needed(huge_page, &name, write)?,
            #[cfg(target_os = "linux")]
            huge_page,
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

    pub(super) fn next_data(&self, offset: u64) -> Range<u64> {
        if !self.private {
            return offset..u64::MAX;
        }
        next_extent(&self.file, offset).unwrap_or_else(|| {
            // A hole reaches up to the file's end. A read says so when that end has moved meanwhile.
            let end = self.file.metadata().map_or(offset, |metadata| metadata.len());
            end.max(offset)..u64::MAX
        })
    }

    /// Lists the stretches of a range that may hold data, where the file consists of huge pages: it does not tell its
    /// holes as others do, and a hole comes into being as soon as a process looks at it. `None` for other files.
    #[cfg(target_os = "linux")]
    pub(super) fn huge_stretches(&self, range: Range<u64>) -> Result<Option<Vec<Range<u64>>>> {
        let Some(huge) = self.huge_page else {
            return Ok(None);
        };
        if let Some(existing) = huge_pages::existing(&self.file, huge) {
            return Ok(Some(existing));
        }
        huge_pages::not_zero(range, huge, |bytes, offset| self.read(bytes, offset)).map(Some)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn huge_stretches(&self, _range: Range<u64>) -> Result<Option<Vec<Range<u64>>>> {
        Ok(None)
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let count = positional::read_full_at(&self.file, buffer, offset)
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
        positional::write_all_at(&self.file, buffer, offset)
            .map_err(|error| self.failed("writing guest memory", offset, error))
    }

    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        #[cfg(target_os = "linux")]
        {
            let end = offset.saturating_add(length);
            // The punch takes whole huge pages only: older kernels report success for a part of one and clear nothing.
            let unit = self.hugetlb.as_ref().map_or(1, HugetlbSink::page_size);
            let (first, last) = (offset.next_multiple_of(unit).min(end), end - end % unit);
            if first < last && self.punch(first, last - first) {
                self.zero_by_hand(offset, first - offset)?;
                return self.zero_by_hand(last, end - last);
            }
        }
        self.zero_by_hand(offset, length)
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, length: u64) -> bool {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, offset, length).is_ok()
    }

    /// Writes zeros over everything else. A hole costs a read and stays a hole.
    fn zero_by_hand(&self, offset: u64, length: u64) -> Result<()> {
        let zeros = [0; 65536];
        let mut found = [0; 65536];
        let mut done = 0;
        while done < length {
            let piece = usize::try_from(length - done)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            // A descriptor that is open for writing only cannot tell.
            let known = self.read(&mut found[..piece], offset + done).is_ok();
            if !known || !is_zero(&found[..piece]) {
                self.write(&zeros[..piece], offset + done)?;
            }
            done += piece as u64;
        }
        Ok(())
    }

    /// Maps the first `end` bytes for the kernel, where it can move bytes to or from the memory as it lies for less than
    /// a copy costs. `None` where it cannot.
    #[cfg(target_os = "linux")]
    pub(super) fn in_place(&self, end: u64, write: bool) -> Option<InPlace> {
        use crate::mapping::Mapping;
        // Pages of 4 KiB cost more than a copy: each is entered, pinned and handed to the disk by itself, and is cleared
        // when it is made.
        let huge = self.huge_page?;
        if write {
            let mapping = self.hugetlb.as_ref()?.mapping()?;
            return Some(InPlace::new(Arc::clone(mapping), huge));
        }
        // A mapping would fill holes, and only a description of our own tells where they are.
        if !self.private {
            return None;
        }
        let mapped = Mapping::new(&self.file, &self.name, end, false, huge).ok()?;
        Some(InPlace::new(Arc::new(mapped), huge))
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        Identity::of_file(&self.file)
    }

    fn failed(&self, doing: &str, offset: u64, error: io::Error) -> EngineError {
        EngineError::io(doing, error).at(&self.name, offset)
    }
}
