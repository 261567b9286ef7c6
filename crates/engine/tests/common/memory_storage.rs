//! A storage of snapshots in this process's memory, to which the engine has no descriptor.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use mapped_ram_engine::file::Storage;

#[derive(Debug)]
pub(crate) struct MemoryStorage {
    bytes: Mutex<Vec<u8>>,
    /// No call moves more bytes than this.
    most: usize,
    /// The number of the call that fails, counted from 0.
    failing: Option<u64>,
    calls: AtomicU64,
}

impl MemoryStorage {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            most: usize::MAX,
            failing: None,
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

    /// The call of this number fails.
    pub(crate) fn failing(bytes: Vec<u8>, call: u64) -> Self {
        Self {
            failing: Some(call),
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

    /// Counts a call of this length, and says where it starts and ends.
    fn range(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        if self.failing == Some(self.calls.fetch_add(1, Ordering::Relaxed)) {
            return Err(io::Error::other("the store is on strike"));
        }
        let start = super::size(offset);
        Ok(start..start + length.min(self.most))
    }
}

impl Storage for MemoryStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let range = self.range(offset, buffer.len())?;
        let bytes = self.bytes();
        let found = bytes
            .get(range.start.min(bytes.len())..range.end.min(bytes.len()))
            .unwrap_or_default();
        buffer[..found.len()].copy_from_slice(found);
        Ok(found.len())
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let range = self.range(offset, buffer.len())?;
        let mut bytes = self.bytes();
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes[range.clone()].copy_from_slice(&buffer[..range.len()]);
        Ok(range.len())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }
}
