//! A storage of snapshots in this process's memory, to which the engine has no descriptor.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use mapped_ram_engine::file::Storage;

/// The fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails.
    Strike,
    /// The call is interrupted before it moves anything.
    Interruption,
    /// The call says that it moved one byte more than it was given.
    Boast,
}

#[derive(Debug)]
pub(crate) struct MemoryStorage {
    bytes: Mutex<Vec<u8>>,
    /// No call moves more bytes than this.
    most: usize,
    /// The numbers of the calls in which something goes wrong, counted from 0.
    faulty: Range<u64>,
    fault: Fault,
    calls: AtomicU64,
}

impl MemoryStorage {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            most: usize::MAX,
            faulty: 0..0,
            fault: Fault::Strike,
            calls: AtomicU64::new(0),
        }
    }

    /// Every read and write ends short, after `most` bytes.
    pub(crate) fn shortening(bytes: Vec<u8>, most: usize) -> Self {
        Self {
            most,
            ..Self::new(bytes)
        }
    }

    /// The calls of these numbers go wrong.
    pub(crate) fn faulty(bytes: Vec<u8>, calls: Range<u64>, fault: Fault) -> Self {
        Self {
            faulty: calls,
            fault,
            ..Self::new(bytes)
        }
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        self.bytes().clone()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().expect("no panic held it")
    }

    /// Counts a call, and says what goes wrong in it.
    fn next_fault(&self) -> io::Result<Option<Fault>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.faulty.contains(&call) {
            return Ok(None);
        }
        match self.fault {
            Fault::Strike => Err(io::Error::other("the store is on strike")),
            Fault::Interruption => Err(io::ErrorKind::Interrupted.into()),
            Fault::Boast => Ok(Some(Fault::Boast)),
        }
    }

    /// Says where a call of this length starts and ends.
    fn range(&self, offset: u64, length: usize) -> Range<usize> {
        let start = super::size(offset);
        start..start + length.min(self.most)
    }
}

impl Storage for MemoryStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.next_fault()?;
        let range = self.range(offset, buffer.len());
        let bytes = self.bytes();
        let found = bytes
            .get(range.start.min(bytes.len())..range.end.min(bytes.len()))
            .unwrap_or_default();
        buffer[..found.len()].copy_from_slice(found);
        Ok(match fault {
            Some(_) => buffer.len() + 1,
            None => found.len(),
        })
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.next_fault()?;
        let range = self.range(offset, buffer.len());
        let mut bytes = self.bytes();
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes[range.clone()].copy_from_slice(&buffer[..range.len()]);
        Ok(match fault {
            Some(_) => buffer.len() + 1,
            None => range.len(),
        })
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }
}
