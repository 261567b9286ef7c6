//! The pages of a process that exist, by /proc/PID/pagemap: a word for each page of the host.

use std::fs::File;
use std::ops::Range;

use super::maps::{cannot_look, require_mapped};
use super::pages::{ProcessPages, ScanMethod};
use super::parts::in_parts;
use super::scan;
use super::stretches::Stretches;
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::positional;

const ENTRY: u64 = 8;

/// The page map of a process. It belongs to the memory that the process had when it was opened.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
    pid: u32,
    name: String,
    page_size: u64,
    method: ScanMethod,
}

/// Finds the pages of a process that are wanted: of each range of addresses, stretches in bytes from its start,
/// ascending, in whole `unit`s (or up to the range's end), adjacent ones joined.
///
/// Pages that come and go meanwhile may be found or not, so the process had better stand still.
/// # Errors
/// Io when this process may not look, Truncated for an address at which nothing is mapped
pub fn changed_pages(
    pid: u32,
    ranges: &[Range<u64>],
    pages: ProcessPages,
    method: ScanMethod,
    unit: u64,
) -> Result<Vec<Vec<Range<u64>>>> {
    for range in ranges {
        if range.start > range.end {
            let message = format!(
                "expected a range of addresses, found {:#x} up to {:#x}",
                range.start, range.end
            );
            return Err(EngineError::new(ErrorKind::InvalidArgument, message));
        }
    }
    require_mapped(pid, ranges)?;
    let pagemap = Pagemap::open(pid, method)?;
    ranges
        .iter()
        .map(|range| pagemap.stretches(range.clone(), pages, unit))
        .collect()
}

impl Pagemap {
    /// Opens the page map of a process.
    /// # Errors
    /// Io when there is no such process, or this one may not look
    pub fn open(pid: u32, method: ScanMethod) -> Result<Self> {
        let name = format!("/proc/{pid}/pagemap");
        let file = File::open(&name).map_err(|error| cannot_look(pid, &name, error))?;
        Ok(Self::of_file(
            file,
            pid,
            name,
            rustix::param::page_size() as u64,
            method,
        ))
    }

    fn of_file(file: File, pid: u32, name: String, page_size: u64, method: ScanMethod) -> Self {
        Self {
            file,
            pid,
            name,
            page_size,
            method,
        }
    }

    /// Finds the pages of a range of addresses that are wanted, as `changed_pages` does. The range is known to be mapped.
    pub fn stretches(&self, range: Range<u64>, pages: ProcessPages, unit: u64) -> Result<Vec<Range<u64>>> {
        if pages == ProcessPages::All {
            let mut found = Stretches::new(range.clone(), unit);
            found.add(range);
            return Ok(found.into_found());
        }
        let whole = range.start - range.start % self.page_size
            ..range
                .end
                .checked_next_multiple_of(self.page_size)
                .unwrap_or(range.end);
        let found = in_parts(&whole, |part| {
            let mut found = Stretches::new(range.clone(), unit);
            if self.method == ScanMethod::Pagemap || !self.scan(part, pages, &mut found)? {
                self.walk(part, pages, &mut found)?;
            }
            Ok(found)
        })?;
        Ok(found.into_found())
    }

    /// Reads one entry.
    pub(super) fn entry(&self, address: u64) -> Result<u64> {
        let mut entry = [0; 8];
        self.read(&mut entry, address / self.page_size)?;
        Ok(u64::from_ne_bytes(entry))
    }

    /// Has the kernel look. Returns false where it cannot and nobody insists.
    fn scan(&self, range: &Range<u64>, pages: ProcessPages, found: &mut Stretches) -> Result<bool> {
        let known = scan::scan(&self.file, range, pages, found)
            .map_err(|error| EngineError::io("scanning the page map", error).at(&self.name, range.start))?;
        if !known && self.method == ScanMethod::PagemapScan {
            let message =
                "PAGEMAP_SCAN was asked for, and this kernel does not have it (Linux has it since 6.7)";
            return Err(EngineError::new(ErrorKind::Unsupported, message).on(&self.name));
        }
        // The scan of a process that has ended finds nothing, and says no more than that. A read of its page map does.
        if known && range.start < range.end {
            self.entry(range.start)?;
        }
        Ok(known)
    }

    /// Looks at every entry of a part.
    fn walk(&self, part: &Range<u64>, pages: ProcessPages, found: &mut Stretches) -> Result<()> {
        let page_size = self.page_size;
        let (first, end) = (part.start / page_size, part.end / page_size);
        let length = usize::try_from((end - first) * ENTRY)
            .map_err(|_| EngineError::new(ErrorKind::Internal, "a part larger than memory"))?;
        let mut bytes = vec![0; length];
        self.read(&mut bytes, first)?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut start = None;
        for (page, word) in (first..).zip(words) {
            match (pages.wants(u64::from_ne_bytes(*word)), start) {
                (true, None) => start = Some(page),
                (false, Some(first)) => {
                    found.add(first * page_size..page * page_size);
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(first) = start {
            found.add(first * page_size..end * page_size);
        }
        Ok(())
    }

    /// Reads the entries from that of page number `first` on.
    fn read(&self, words: &mut [u8], first: u64) -> Result<()> {
        let address = first.saturating_mul(self.page_size);
        let failed = |error| EngineError::io("reading the page map", error).at(&self.name, address);
        let count = positional::read_full_at(&self.file, words, first * ENTRY).map_err(failed)?;
        if count == words.len() {
            return Ok(());
        }
        // The page map ends where a process's addresses end, and is empty when the process has ended.
        let message = format!(
            "the page map of process {} ended: expected {} pages at {address:#x}, found {}",
            self.pid,
            words.len() as u64 / ENTRY,
            count as u64 / ENTRY
        );
        Err(EngineError::new(ErrorKind::Truncated, message).at(&self.name, address))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::super::parts::PART;
    use super::{Pagemap, ProcessPages, ScanMethod};

    /// A page map with these entries, the first of which is that of page `first`.
    fn pagemap_of(first: u64, entries: &[u64], page_size: u64) -> Pagemap {
        let mut file = tempfile::tempfile().unwrap();
        file.seek(SeekFrom::Start(first * 8)).unwrap();
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        file.write_all(&bytes).unwrap();
        Pagemap::of_file(file, 1, "pagemap".to_owned(), page_size, ScanMethod::Pagemap)
    }

    const P: u64 = 1 << 63;
    const S: u64 = 1 << 62;
    const F: u64 = 1 << 61;

    #[test]
    fn entries_are_those_of_the_hosts_pages_whatever_their_size() {
        let entries = [P, S, 0, P | F, S | F, P, P];
        for page in [4096, 16_384, 65_536_u64] {
            let map = pagemap_of(5, &entries, page);
            let range = 5 * page..12 * page;
            let found = |pages| map.stretches(range.clone(), pages, 1).unwrap();
            assert_eq!(found(ProcessPages::Present), [0..2 * page, 3 * page..7 * page]);
            assert_eq!(found(ProcessPages::Changed), [0..2 * page, 5 * page..7 * page]);
            assert_eq!(found(ProcessPages::All), std::slice::from_ref(&(0..7 * page)));
            // Blocks of a guest with smaller pages may start and end inside of a page.
            let inside = 5 * page + 512..6 * page + 512;
            let found = map.stretches(inside, ProcessPages::Changed, 1).unwrap();
            assert_eq!(found, std::slice::from_ref(&(0..page)));
            assert_eq!(map.entry(6 * page + 1).unwrap(), S);
        }
    }

    #[test]
    fn a_run_may_cross_the_ends_of_parts() {
        let count = 2 * PART / 4096 + 5;
        let mut entries = vec![P; usize::try_from(count).unwrap()];
        entries[7] = 0;
        let map = pagemap_of(0, &entries, 4096);
        let found = map.stretches(0..count * 4096, ProcessPages::Present, 1).unwrap();
        assert_eq!(found, [0..7 * 4096, 8 * 4096..count * 4096]);
    }

    #[test]
    fn a_page_map_that_ends_is_an_error_that_names_the_address() {
        let map = pagemap_of(0, &[P, P], 4096);
        let error = map
            .stretches(4096..3 * 4096, ProcessPages::Present, 1)
            .unwrap_err();
        assert_eq!(error.offset(), Some(4096));
        assert!(
            error.message().contains("expected 2 pages at 0x1000, found 1"),
            "{error}"
        );
    }
}
