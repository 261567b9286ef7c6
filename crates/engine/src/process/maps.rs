//! The mappings of a process, to tell memory that was never touched from addresses where there is none: the page map has
//! zeros for both.

use std::fs;
use std::io;
use std::ops::Range;

use super::name_of;
use crate::error::{EngineError, ErrorKind, Result};

/// Refuses addresses of a process at which no readable memory is mapped.
/// # Errors
/// Truncated for the first address at which there is none, and for a process that has ended; Io when this process may
/// not look
pub(crate) fn require_mapped(pid: u32, ranges: &[Range<u64>]) -> Result<()> {
    let path = format!("/proc/{pid}/maps");
    let text = fs::read(&path).map_err(|error| cannot_look(pid, &path, error))?;
    let mappings: Vec<Range<u64>> = text.split(|byte| *byte == b'\n').filter_map(readable).collect();
    for range in ranges {
        if let Some(gap) = first_gap(&mappings, range) {
            let length = range.end.saturating_sub(range.start);
            let found = if text.is_empty() {
                "no memory: it has ended".to_owned()
            } else {
                format!("nothing readable at {gap:#x}")
            };
            let message = format!(
                "process {pid}: expected {length} readable bytes at {:#x}, found {found}",
                range.start
            );
            return Err(EngineError::new(ErrorKind::Truncated, message).at(name_of(pid), gap));
        }
    }
    Ok(())
}

/// Makes the error about a file below /proc/PID that cannot be opened.
pub(super) fn cannot_look(pid: u32, path: &str, error: io::Error) -> EngineError {
    let doing = if error.kind() == io::ErrorKind::NotFound {
        format!("looking at process {pid}: there is none")
    } else {
        format!("looking at the memory of process {pid}")
    };
    EngineError::io(doing, error).on(path)
}

/// Finds the first address of the range that lies in none of the mappings, which are in order.
fn first_gap(mappings: &[Range<u64>], range: &Range<u64>) -> Option<u64> {
    let mut reached = range.start;
    for mapping in mappings {
        if mapping.contains(&reached) {
            reached = mapping.end;
        }
    }
    (reached < range.end).then_some(reached)
}

/// Reads the addresses of a line of maps, "start-end rwxp …", of a mapping that may be read.
fn readable(line: &[u8]) -> Option<Range<u64>> {
    let line = std::str::from_utf8(line.get(..line.len().min(64))?).ok()?;
    let mut fields = line.split(' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let may_read = fields.next()?.starts_with('r');
    let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    may_read.then_some(range)
}

#[cfg(test)]
mod tests {
    use super::{first_gap, readable, require_mapped};
    use crate::error::ErrorKind;

    #[test]
    fn only_what_can_be_read_counts() {
        let line = b"7f00aa000000-7f00aa200000 rw-p 00000000 00:00 0 ";
        assert_eq!(readable(line), Some(0x7f00_aa00_0000..0x7f00_aa20_0000));
        assert_eq!(readable(b"7f00aa000000-7f00aa200000 ---p 00000000 00:00 0"), None);
        assert_eq!(readable(b""), None);
        // A name need not be text.
        let mut named = b"1000-2000 r--s 00000000 08:01 77                         /a/file/with/".to_vec();
        named.push(0xff);
        assert_eq!(readable(&named), Some(0x1000..0x2000));
    }

    #[test]
    fn adjacent_mappings_count_as_one_and_a_gap_is_found() {
        let mappings = [0x1000..0x2000, 0x2000..0x3000, 0x4000..0x5000];
        assert_eq!(first_gap(&mappings, &(0x1800..0x3000)), None);
        assert_eq!(first_gap(&mappings, &(0x1800..0x3001)), Some(0x3000));
        assert_eq!(first_gap(&mappings, &(0x0..0x1800)), Some(0));
        assert_eq!(first_gap(&mappings, &(0x4000..0x6000)), Some(0x5000));
        assert_eq!(first_gap(&mappings, &(0x7000..0x7000)), None);
    }

    #[test]
    fn a_place_without_memory_is_named() {
        let bytes = [7_u8; 64];
        let address = bytes.as_ptr().addr() as u64;
        let own = std::process::id();
        require_mapped(own, std::slice::from_ref(&(address..address + 64))).unwrap();
        let error = require_mapped(own, &[address..address + 64, 16..32]).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(16)));
        assert!(error.message().contains("16 readable bytes at 0x10"), "{error}");
    }
}
