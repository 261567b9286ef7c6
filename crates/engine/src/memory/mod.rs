//! Where guest RAM lives while the guest does not run: a file (plain, tmpfs, memfd, hugetlbfs) or a buffer.

mod bytes;
mod file;
#[cfg(target_os = "linux")]
mod hugetlb;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::FileSource;

pub use bytes::ByteMemory;
pub use file::FileMemory;

/// How a plan names memory.
#[derive(Debug, Clone)]
pub enum MemorySpec {
    File(FileSource),
    Bytes(Arc<ByteMemory>),
    /// There is none: for a scan.
    None,
}

/// Memory that is open for a transfer. Offsets are absolute in the file or buffer.
#[derive(Debug)]
pub(crate) enum Memory {
    File(FileMemory),
    Bytes(Arc<ByteMemory>),
    None,
}

impl Memory {
    pub(crate) fn open(spec: &MemorySpec, write: bool) -> Result<Self> {
        Ok(match spec {
            MemorySpec::File(source) => Self::File(FileMemory::open(source, write)?),
            MemorySpec::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            MemorySpec::None => Self::None,
        })
    }

    /// Errors unless the memory holds `offset..offset + length`. For a sink, grows a file that is shorter.
    pub(crate) fn require(&self, offset: u64, length: u64, grow: bool) -> Result<()> {
        match self {
            Self::File(file) => file.require(offset, length, grow),
            Self::Bytes(bytes) => bytes.require(offset, length),
            Self::None => Ok(()),
        }
    }

    /// The next stretch at or after `offset` that may hold data: holes before it read as zeros, and what follows it is
    /// to be asked for again. It may be shorter than said, or empty, where the file changes meanwhile.
    pub(crate) fn next_data(&self, offset: u64) -> Range<u64> {
        match self {
            Self::File(file) => file.next_data(offset),
            Self::Bytes(_) | Self::None => offset..u64::MAX,
        }
    }

    /// Device and inode of a file.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        match self {
            Self::File(file) => file.identity(),
            Self::Bytes(_) | Self::None => None,
        }
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        match self {
            Self::File(file) => file.read(buffer, offset),
            Self::Bytes(bytes) => bytes.read(buffer, offset),
            Self::None => Err(no_memory()),
        }
    }

    pub(crate) fn write(&self, buffer: &[u8], offset: u64) -> Result<()> {
        match self {
            Self::File(file) => file.write(buffer, offset),
            Self::Bytes(bytes) => bytes.write(buffer, offset),
            Self::None => Err(no_memory()),
        }
    }

    /// Makes a range read as zeros, as a hole where the file can have one.
    pub(crate) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        match self {
            Self::File(file) => file.zero(offset, length),
            Self::Bytes(bytes) => bytes.zero(offset, length),
            Self::None => Err(no_memory()),
        }
    }
}

fn no_memory() -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        "the block has no memory to read or write",
    )
}
