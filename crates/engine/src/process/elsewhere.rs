//! Other systems show no process's memory to another in these ways.

use std::ops::Range;

use super::pages::{ProcessPages, ScanMethod};
use super::{Piece, ProcessRights, name_of};
use crate::error::{EngineError, ErrorKind, Result};

const WORDS: &str = "the memory of another process can be read on Linux only";

/// # Errors
/// always
pub fn changed_pages(
    pid: u32,
    _ranges: &[Range<u64>],
    _pages: ProcessPages,
    _method: ScanMethod,
    _unit: u64,
) -> Result<Vec<Vec<Range<u64>>>> {
    Err(unsupported(pid))
}

pub fn process_rights(_pid: u32, _address: u64) -> ProcessRights {
    ProcessRights {
        pagemap: Some(WORDS.to_owned()),
        memory: Some(WORDS.to_owned()),
    }
}

pub(crate) fn require_mapped(pid: u32, _ranges: &[Range<u64>]) -> Result<()> {
    Err(unsupported(pid))
}

pub(crate) fn read_process(pid: u32, pieces: Vec<Piece<'_>>) -> Result<()> {
    let error = unsupported(pid);
    Err(match pieces.first() {
        Some(piece) if !piece.bytes.is_empty() => error.at(name_of(pid), piece.address),
        _ => error,
    })
}

fn unsupported(pid: u32) -> EngineError {
    EngineError::new(ErrorKind::Unsupported, WORDS).on(name_of(pid))
}
