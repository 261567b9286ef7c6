//! The pages of a process that exist, by the PAGEMAP_SCAN of its page map (Linux 6.7 and newer): the kernel looks itself
//! and gives stretches. It steps over page tables that are not there, which makes a large idle guest cost nothing.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::pages::ProcessPages;
use super::stretches::Stretches;

/// The regions that one call may give: 96 KiB of them. They are cleared for each range, while a guest stands still.
const REGIONS: usize = 1 << 12;

/// Categories of pages (linux/fs.h).
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const SHARED_ZEROS: u64 = 1 << 5;

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Debug, Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

mod sys {
    use super::ScanArguments;

    nix::ioctl_readwrite!(pagemap_scan, b'f', 16, ScanArguments);
}

/// Adds the stretches of `range`, in whole pages of the host, that are wanted. Returns false where the kernel has no such
/// scan.
pub(super) fn scan(
    pagemap: &File,
    range: &Range<u64>,
    pages: ProcessPages,
    found: &mut Stretches,
) -> io::Result<bool> {
    scan_with(pagemap, range, pages, found, REGIONS)
}

fn scan_with(
    pagemap: &File,
    range: &Range<u64>,
    pages: ProcessPages,
    found: &mut Stretches,
    regions: usize,
) -> io::Result<bool> {
    let unwanted = match pages {
        ProcessPages::Changed => FILE,
        ProcessPages::Data => SHARED_ZEROS,
        ProcessPages::Present | ProcessPages::All => 0,
    };
    let mut regions: Vec<PageRegion> = vec![PageRegion::default(); regions];
    let mut start = range.start;
    while start < range.end {
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            start,
            end: range.end,
            regions: regions.as_mut_ptr().expose_provenance() as u64,
            regions_length: regions.len() as u64,
            category_inverted: unwanted,
            category_mask: unwanted,
            category_anyof_mask: PRESENT | SWAPPED,
            ..ScanArguments::default()
        };
        // SAFETY: needed because no safe call has this request. It is sound because the arguments have the kernel's
        // layout and size, and the kernel writes at most as many regions as the vector has, which nobody else uses.
        let count = match unsafe { sys::pagemap_scan(pagemap.as_raw_fd(), &raw mut arguments) } {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(Errno::ENOTTY) => return Ok(false),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let given = regions.get(..count).ok_or(io::ErrorKind::InvalidData)?;
        for region in given {
            found.add(region.start..region.end);
        }
        // The kernel (6.18) says that it has come less far than it has when the number of regions is a multiple of the
        // 512 that it keeps back: these would come again.
        let last = given.last().map_or(0, |region| region.end);
        let reached = arguments.walk_end.max(last);
        if reached <= start {
            return Err(io::Error::other("the kernel's scan does not get on"));
        }
        start = reached;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use memmap2::{Advice, MmapMut};

    use super::super::pages::ProcessPages;
    use super::super::stretches::Stretches;
    use super::scan_with;

    /// Regions come in batches of any size, and those of a batch that ends at a multiple of 512 do not come twice.
    #[test]
    fn no_page_is_missed_or_found_twice_whatever_the_size_of_a_batch() {
        const PAGE: usize = 4096;
        const PAGES: usize = 3 * 2048 + 77;
        let mut memory = MmapMut::map_anon(PAGES * PAGE).unwrap();
        // A huge page would exist as a whole.
        memory.advise(Advice::NoHugePage).unwrap();
        let mut written = Vec::new();
        for page in (1..PAGES).step_by(2) {
            memory[page * PAGE] = 1;
            written.push((page * PAGE) as u64..((page + 1) * PAGE) as u64);
        }
        let address = memory.as_ptr().addr() as u64;
        let range = address..address + (PAGES * PAGE) as u64;
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        for regions in [1, 2, 511, 512, 513, 1024, 1 << 16] {
            for pages in [ProcessPages::Present, ProcessPages::Changed, ProcessPages::Data] {
                let mut found = Stretches::new(range.clone(), 1);
                if !scan_with(&pagemap, &range, pages, &mut found, regions).unwrap() {
                    // The kernel is older.
                    return;
                }
                assert_eq!(
                    found.into_found(),
                    written,
                    "{regions} regions at once, {pages:?}"
                );
            }
        }
    }
}
