//! Guest memory as it lies in another process, QEMU: the private memory of a guest is in no file.

use std::ops::Range;

use crate::error::{EngineError, ErrorKind, Result};
use crate::process::{Piece, ProcessPages, ScanMethod, changed_pages, name_of, read_process, require_mapped};

/// The place of a block in a process. The region's `memory_offset` counts from the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessBlock {
    pub pid: u32,
    pub address: u64,
    /// The pages that a save reads. It takes the others for zeros, unless it is told which pages to save.
    pub pages: ProcessPages,
}

/// The memory of a process that stands still.
#[derive(Debug)]
pub(crate) struct ProcessMemory {
    block: ProcessBlock,
}

impl ProcessMemory {
    pub(super) fn open(block: ProcessBlock) -> Self {
        Self { block }
    }

    pub(super) fn require(&self, offset: u64, length: u64) -> Result<()> {
        let range = self.addresses(offset, length)?;
        require_mapped(self.block.pid, &[range])
    }

    pub(super) fn stretches(&self, offset: u64, length: u64) -> Result<Vec<Range<u64>>> {
        let ProcessBlock { pid, pages, .. } = self.block;
        let range = self.addresses(offset, length)?;
        if pages == ProcessPages::All {
            return Ok(std::iter::once(0..length).filter(|all| !all.is_empty()).collect());
        }
        let mut found = changed_pages(pid, &[range], pages, ScanMethod::Auto, 1)?;
        Ok(found.pop().unwrap_or_default())
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let address = self.addresses(offset, buffer.len() as u64)?.start;
        self.read_pieces(vec![Piece {
            address,
            bytes: buffer,
        }])
    }

    pub(super) fn read_runs(&self, buffer: &mut [u8], offset: u64, runs: &[Range<usize>]) -> Result<()> {
        let start = self.addresses(offset, buffer.len() as u64)?.start;
        let mut pieces = Vec::with_capacity(runs.len());
        let (mut rest, mut done) = (buffer, 0);
        for run in runs {
            let (_, behind) = rest.split_at_mut(run.start - done);
            let (bytes, behind) = behind.split_at_mut(run.len());
            rest = behind;
            done = run.end;
            pieces.push(Piece {
                address: start + run.start as u64,
                bytes,
            });
        }
        self.read_pieces(pieces)
    }

    fn read_pieces(&self, pieces: Vec<Piece<'_>>) -> Result<()> {
        read_process(self.block.pid, pieces)
    }

    fn addresses(&self, offset: u64, length: u64) -> Result<Range<u64>> {
        let ProcessBlock { pid, address, .. } = self.block;
        let start = address.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(length));
        start.zip(end).map(|(start, end)| start..end).ok_or_else(|| {
            let message =
                format!("process {pid}: {length} bytes at {offset} from {address:#x} are no addresses");
            EngineError::new(ErrorKind::OutOfRange, message).on(name_of(pid))
        })
    }
}
