//! Guest RAM while the guest does not run: a file (plain, tmpfs, memfd, hugetlbfs), a buffer, a block of another snapshot,
//! another process's memory, or a copy of that.

mod bytes;
mod copied;
mod file;
#[cfg(target_os = "linux")]
mod filesystem;
#[cfg(target_os = "linux")]
mod huge_pages;
#[cfg(target_os = "linux")]
mod hugetlb;
#[cfg(target_os = "linux")]
mod in_place;
mod memfd;
mod process;
mod snapshot;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{FileSource, Identity};
use crate::process::ProcessCopy;

use copied::CopiedMemory;
use process::ProcessMemory;

pub use bytes::ByteMemory;
pub use file::FileMemory;
#[cfg(target_os = "linux")]
pub(crate) use in_place::{Heads, InPlace};
pub use memfd::memfd;
pub use process::ProcessBlock;
pub use snapshot::{SnapshotBlock, SnapshotMemory};

/// The names by which a plan reaches memory.
#[derive(Debug, Clone)]
pub enum MemorySpec {
    File(FileSource),
    Bytes(Arc<ByteMemory>),
    /// A scan has no memory.
    None,
    /// A block of another snapshot can be saved, and never loaded.
    Snapshot(SnapshotBlock),
    /// The memory of another process can be saved, and never loaded.
    Process(ProcessBlock),
    /// A block of a copy of such memory, by its number in the copy.
    Copy(Arc<ProcessCopy>, usize),
}

/// Memory that is open for a transfer. Offsets are absolute in the file or buffer.
#[derive(Debug)]
pub(crate) enum Memory {
    File(FileMemory),
    Bytes(Arc<ByteMemory>),
    None,
    Snapshot(SnapshotMemory),
    Process(ProcessMemory),
    Copy(CopiedMemory),
}

impl Memory {
    pub(crate) fn open(spec: &MemorySpec, write: bool) -> Result<Self> {
        Ok(match spec {
            MemorySpec::File(source) => Self::File(FileMemory::open(source, write)?),
            MemorySpec::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            MemorySpec::None => Self::None,
            MemorySpec::Snapshot(block) if write => return Err(read_only(&block.file.name())),
            MemorySpec::Snapshot(block) => Self::Snapshot(SnapshotMemory::open(block)?),
            MemorySpec::Process(_) | MemorySpec::Copy(..) if write => return Err(of_a_process()),
            MemorySpec::Process(block) => Self::Process(ProcessMemory::open(*block)),
            MemorySpec::Copy(copy, block) => Self::Copy(CopiedMemory::open(copy, *block)?),
        })
    }

    /// Refuses memory that does not hold `offset..offset + length`. With `grow`, a file that is shorter becomes longer
    /// instead.
    pub(crate) fn require(&self, offset: u64, length: u64, grow: bool) -> Result<()> {
        match self {
            Self::File(file) => file.require(offset, length, grow),
            Self::Bytes(bytes) => bytes.require(offset, length),
            Self::None => Ok(()),
            Self::Snapshot(block) => block.require(offset, length),
            Self::Process(process) => process.require(offset, length),
            Self::Copy(_) => Ok(()),
        }
    }

    /// Lists the stretches of `offset..offset + length` that may hold data, in bytes from `offset` on, where the memory
    /// tells of all of them at once. `None` where `next_data` tells.
    pub(crate) fn stretches(&self, offset: u64, length: u64) -> Result<Option<Vec<Range<u64>>>> {
        match self {
            Self::File(_) | Self::Bytes(_) | Self::None | Self::Snapshot(_) => Ok(None),
            Self::Process(process) => process.stretches(offset, length).map(Some),
            Self::Copy(copy) => Ok(Some(copy.stretches(offset, length))),
        }
    }

    /// Refuses runs, in bytes from `offset` on, that the memory does not have: a copy may lack some.
    pub(crate) fn require_runs(&self, offset: u64, runs: impl Iterator<Item = Range<u64>>) -> Result<()> {
        match self {
            Self::Copy(copy) => copy.require_runs(offset, runs),
            Self::File(_) | Self::Bytes(_) | Self::None | Self::Snapshot(_) | Self::Process(_) => Ok(()),
        }
    }

    /// Finds the next stretch at or after `offset` that may hold data. The bytes before it read as zeros; the caller
    /// asks again for the bytes behind it. The stretch may be shorter, or empty, where the file changes meanwhile.
    pub(crate) fn next_data(&self, offset: u64) -> Range<u64> {
        match self {
            Self::File(file) => file.next_data(offset),
            Self::Bytes(_) | Self::None | Self::Process(_) => offset..u64::MAX,
            Self::Snapshot(block) => block.next_data(offset),
            Self::Copy(copy) => copy.next_data(offset),
        }
    }

    /// Maps the first `end` bytes for the kernel, where moving bytes without a copy costs less than the copy.
    #[cfg(target_os = "linux")]
    pub(crate) fn in_place(&self, end: u64, write: bool) -> Option<InPlace> {
        match self {
            Self::File(file) => file.in_place(end, write),
            Self::Bytes(_) | Self::None | Self::Snapshot(_) | Self::Process(_) | Self::Copy(_) => None,
        }
    }

    /// `None` where the memory is no file.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::File(file) => file.identity(),
            Self::Bytes(_) | Self::None | Self::Process(_) | Self::Copy(_) => None,
            Self::Snapshot(block) => block.identity(),
        }
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        match self {
            Self::File(file) => file.read(buffer, offset),
            Self::Bytes(bytes) => bytes.read(buffer, offset),
            Self::None => Err(no_memory()),
            Self::Snapshot(block) => block.read(buffer, offset),
            Self::Process(process) => process.read(buffer, offset),
            Self::Copy(copy) => copy.read(buffer, offset),
        }
    }

    /// Reads only the runs of `offset..offset + buffer.len()`, in bytes from the start, ascending, into their places. The
    /// other bytes of the buffer may hold anything afterwards.
    pub(crate) fn read_runs(&self, buffer: &mut [u8], offset: u64, runs: &[Range<usize>]) -> Result<()> {
        if let Self::Process(process) = self {
            return process.read_runs(buffer, offset, runs);
        }
        for run in runs {
            self.read(&mut buffer[run.clone()], offset + run.start as u64)?;
        }
        Ok(())
    }

    pub(crate) fn write(&self, buffer: &[u8], offset: u64) -> Result<()> {
        match self {
            Self::File(file) => file.write(buffer, offset),
            Self::Bytes(bytes) => bytes.write(buffer, offset),
            Self::None => Err(no_memory()),
            Self::Snapshot(_) => Err(read_only("the other snapshot")),
            Self::Process(_) | Self::Copy(_) => Err(of_a_process()),
        }
    }

    /// Makes a range read as zeros, as a hole where the file can have one.
    pub(crate) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        match self {
            Self::File(file) => file.zero(offset, length),
            Self::Bytes(bytes) => bytes.zero(offset, length),
            Self::None => Err(no_memory()),
            Self::Snapshot(_) => Err(read_only("the other snapshot")),
            Self::Process(_) | Self::Copy(_) => Err(of_a_process()),
        }
    }
}

/// Makes ranges of a file read as zeros, as holes where the file can have them.
/// # Errors
/// when the file cannot be opened for writing, or cannot be written
pub fn zero_ranges(source: &FileSource, ranges: &[Range<u64>]) -> Result<()> {
    let file = FileMemory::open(source, true)?;
    for range in ranges {
        file.zero(range.start, range.end.saturating_sub(range.start))?;
    }
    Ok(())
}

/// Lists the stretches of `length` bytes from `offset` on in a file that may hold data, in bytes from `offset` on, widened to
/// multiples of `unit` from there. What is between them reads as zeros. No page of the file comes into being by that.
/// # Errors
/// when the file cannot be opened or read, or ends before; InvalidArgument for a unit of 0
pub fn data_ranges(source: &FileSource, offset: u64, length: u64, unit: u64) -> Result<Vec<Range<u64>>> {
    if unit == 0 {
        return Err(EngineError::new(ErrorKind::InvalidArgument, "a unit of no bytes"));
    }
    let file = FileMemory::open(source, false)?;
    file.require(offset, length, false)?;
    let end = offset.saturating_add(length);
    let stretches = file.huge_stretches(offset..end)?;
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = offset;
    while at < end {
        let data = match &stretches {
            Some(stretches) => next_of(stretches, at),
            None => file.next_data(at),
        };
        if data.start >= end {
            break;
        }
        let first = (data.start - offset) / unit * unit;
        let last = (data.end.min(end) - offset).next_multiple_of(unit).min(length);
        match found.last_mut() {
            Some(before) if before.end >= first => before.end = last.max(before.end),
            _ => found.push(first..last),
        }
        // A file that changes meanwhile may have an empty stretch.
        at = data.end.max(at + 1);
    }
    Ok(found)
}

/// The next of some stretches, ascending and apart, at or after `at`.
fn next_of(stretches: &[Range<u64>], at: u64) -> Range<u64> {
    let next = stretches.partition_point(|stretch| stretch.end <= at);
    let next = stretches.get(next);
    next.map_or(u64::MAX..u64::MAX, |stretch| stretch.start.max(at)..stretch.end)
}

fn read_only(name: &str) -> EngineError {
    let message = "a block of another snapshot can be read only";
    EngineError::new(ErrorKind::InvalidArgument, message).on(name)
}

fn of_a_process() -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        "the memory of another process can be read only",
    )
}

fn no_memory() -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        "the block has no memory to read or write",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{FileSource, Range, data_ranges, zero_ranges};

    #[test]
    fn ranges_are_zeroed_and_nothing_else() {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(&[7; 20_000]).unwrap();
        let source = FileSource::Path(named.path().to_owned());
        zero_ranges(&source, &[4096..12_288, 15_000..15_010]).unwrap();
        let found = std::fs::read(named.path()).unwrap();
        for (offset, byte) in found.iter().enumerate() {
            let zeroed = (4096..12_288).contains(&offset) || (15_000..15_010).contains(&offset);
            assert_eq!(*byte, if zeroed { 0 } else { 7 }, "at {offset}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn data_is_found_in_units_within_the_part() {
        let named = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        named.as_file().set_len(64 << 12).unwrap();
        for page in [0, 9, 10, 40, 63] {
            std::os::unix::fs::FileExt::write_at(named.as_file(), &[7], page << 12).unwrap();
        }
        let source = FileSource::Path(named.path().to_owned());
        let pages = |offset: u64, length: u64, unit: u64| -> Vec<Range<u64>> {
            data_ranges(&source, offset << 12, length << 12, unit << 12)
                .unwrap()
                .into_iter()
                .map(|run| run.start >> 12..run.end >> 12)
                .collect()
        };
        assert_eq!(pages(0, 64, 1), [0..1, 9..11, 40..41, 63..64]);
        assert_eq!(pages(8, 40, 1), [1..3, 32..33]);
        assert_eq!(pages(0, 64, 16), [0..16, 32..64]);
        assert!(pages(1, 8, 1).is_empty());
        assert!(
            data_ranges(&source, 0, 65 << 12, 4096).is_err(),
            "the file ends before"
        );
        assert!(data_ranges(&source, 0, 4096, 0).is_err(), "no unit");
    }
}
