//! Pages of a snapshot that are to read as zeros, whatever was in their place.

use super::positional;
use super::snapshot::SnapshotFile;
use super::storage::Storage;
use crate::error::{EngineError, Result};
use crate::pages::is_zero;

impl SnapshotFile {
    /// Makes a range read as zeros: as a hole where the file can have one. Nobody else may write into the range meanwhile.
    pub(crate) fn clear(&self, offset: u64, length: u64) -> Result<()> {
        if self.punch(offset, length) {
            return Ok(());
        }
        zero_by_hand(self.buffered.as_ref(), offset, length)
            .map_err(|error| EngineError::io("clearing pages", error).at(&self.name, offset))
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, length: u64) -> bool {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let file = self.buffered.file();
        file.is_some_and(|file| rustix::io::retry_on_intr(|| fallocate(file, flags, offset, length)).is_ok())
    }

    #[cfg(not(target_os = "linux"))]
    fn punch(&self, _offset: u64, _length: u64) -> bool {
        false
    }
}

/// Writes zeros over what is none. Bytes behind the end are zeros already.
fn zero_by_hand(storage: &dyn Storage, offset: u64, length: u64) -> std::io::Result<()> {
    let zeros = [0; 65536];
    let mut found = [0; 65536];
    let mut done = 0;
    while done < length {
        let piece = usize::try_from(length - done)
            .unwrap_or(usize::MAX)
            .min(zeros.len());
        let there = positional::read_full_at(storage, &mut found[..piece], offset + done)?;
        if !is_zero(&found[..there]) {
            positional::write_all_at(storage, &zeros[..there], offset + done)?;
        }
        if there < piece {
            break;
        }
        done += piece as u64;
    }
    Ok(())
}
