//! Guest memory in a buffer of this process: small blocks, and tests.

use std::sync::{PoisonError, RwLock};

use crate::error::{EngineError, ErrorKind, Result};

/// A buffer that readers share and in which writers take turns. Big guests live in files; a buffer needs no faster way.
#[derive(Debug)]
pub struct ByteMemory(RwLock<Vec<u8>>);

impl ByteMemory {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }

    /// Takes the bytes out when the transfer is over.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn require(&self, offset: u64, length: u64) -> Result<()> {
        let size = self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        if offset.checked_add(length).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(EngineError::new(
            ErrorKind::OutOfRange,
            format!("buffer: expected {length} bytes at offset {offset}, found {size} in all"),
        ))
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        buffer.copy_from_slice(slice(&bytes, offset, buffer.len())?);
        Ok(())
    }

    pub(super) fn write(&self, buffer: &[u8], offset: u64) -> Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slice_mut(&mut bytes, offset, buffer.len())?.copy_from_slice(buffer);
        Ok(())
    }

    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slice_mut(&mut bytes, offset, usize::try_from(length).unwrap_or(usize::MAX))?.fill(0);
        Ok(())
    }
}

fn slice(bytes: &[u8], offset: u64, length: usize) -> Result<&[u8]> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    bytes.get(start..start.saturating_add(length)).ok_or_else(outside)
}

fn slice_mut(bytes: &mut [u8], offset: u64, length: usize) -> Result<&mut [u8]> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    bytes
        .get_mut(start..start.saturating_add(length))
        .ok_or_else(outside)
}

fn outside() -> EngineError {
    EngineError::new(ErrorKind::OutOfRange, "access outside the buffer")
}
