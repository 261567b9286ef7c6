//! The huge pages that a file on hugetlbfs has.
//!
//! Such a file knows no SEEK_DATA. A look at it through a mapping makes the pages that are looked at, in the file's pool;
//! read(2) does not, and neither does mincore(2).

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use crate::error::Result;
use crate::file::residency::Mapping;
use crate::pages::is_zero;

/// The bytes that are read at once: they stay in the processor's cache.
const PIECE: usize = 65_536;
/// The size of the units of `st_blocks`.
const BLOCK: u64 = 512;

/// Lists the huge pages that a file has, in bytes of the file. `None` where nobody tells for certain.
pub(super) fn existing(file: &File, huge: u64) -> Option<Vec<Range<u64>>> {
    let metadata = file.metadata().ok()?;
    let size = metadata.len().checked_next_multiple_of(huge)?;
    let taken = metadata.blocks() * BLOCK;
    if taken == 0 || taken == size {
        return Some(std::iter::once(0..taken).filter(|all| !all.is_empty()).collect());
    }
    let found = in_memory(file, size, huge)?;
    // mincore says that all pages exist of a file that is none of ours, and that none do for which this process has page
    // tables already. The file's own count gives both away.
    let counted: u64 = found.iter().map(|range| range.end - range.start).sum();
    (counted == taken).then_some(found)
}

/// Lists the huge pages of a range that do not hold zeros alone, by reading them; the first and the last may begin before
/// the range, and end behind it.
pub(super) fn not_zero(
    range: Range<u64>,
    huge: u64,
    read: impl Fn(&mut [u8], u64) -> Result<()>,
) -> Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut bytes = vec![0; PIECE];
    let mut start = range.start;
    while start < range.end {
        let next = (start - start % huge).saturating_add(huge);
        let end = next.min(range.end);
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            read(&mut bytes[..length], at)?;
            if !is_zero(&bytes[..length]) {
                add(&mut found, start - start % huge..next);
                break;
            }
            at += length as u64;
        }
        start = next;
    }
    Ok(found)
}

/// Asks mincore for the first page of the system in each huge page.
fn in_memory(file: &File, size: u64, huge: u64) -> Option<Vec<Range<u64>>> {
    let page = rustix::param::page_size();
    let mapping = map_apart(file, size, huge)?;
    let mut found = Vec::new();
    let mut start = 0;
    while start < size {
        let states = mapping.states(usize::try_from(start).ok()?, page)?;
        if states.first().is_some_and(|state| state & 1 != 0) {
            add(&mut found, start..start + huge);
        }
        start += huge;
    }
    Some(found)
}

/// Maps a file where this process has no page table yet: mincore takes what is not in a page table that there is for
/// absent, instead of asking the file.
fn map_apart(file: &File, size: u64, huge: u64) -> Option<Mapping> {
    // The bytes that one page table maps.
    let span = usize::try_from(huge)
        .ok()?
        .checked_mul(rustix::param::page_size() / 8)?;
    let length = usize::try_from(size).ok()?;
    let room = length.checked_add(span.checked_mul(2)?)?;
    // This finds out where there is room, and makes it again.
    let address = Mapping::new(file, 0, room, 0)?.address();
    Mapping::new(file, 0, length, address.checked_next_multiple_of(span)?)
}

fn add(found: &mut Vec<Range<u64>>, next: Range<u64>) {
    match found.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => found.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::not_zero;

    #[test]
    fn pages_of_zeros_are_left_out_when_all_are_read() {
        let huge = 1 << 21;
        let mut bytes = vec![0; 6 << 21];
        for at in [5, huge + huge - 1, 4 * huge + 70_000] {
            bytes[at] = 1;
        }
        let found = |range| {
            not_zero(range, huge as u64, |buffer, offset| {
                let start = usize::try_from(offset).unwrap();
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
                Ok(())
            })
            .unwrap()
        };
        let page = |number: u64| number << 21;
        assert_eq!(found(0..page(6)), [0..page(2), page(4)..page(5)]);
        assert_eq!(found(6..page(4) + 70_001), [page(1)..page(2), page(4)..page(5)]);
        assert_eq!(
            found(6..page(4) + 70_000),
            std::slice::from_ref(&(page(1)..page(2)))
        );
        assert!(found(7..7).is_empty());
    }
}
