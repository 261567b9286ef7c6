//! The pages of a process's memory that a caller wants, as the kernel's page map tells them apart.

/// Bits of an entry of /proc/PID/pagemap (proc_pid_pagemap(5)).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE: u64 = 1 << 61;

/// The pages that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessPages {
    /// The pages that exist, in memory or in swap. A page of anonymous memory that does not exist reads as zeros.
    Present,
    /// Those of `Present` that may hold something else than zeros. Only PAGEMAP_SCAN knows the kernel's one shared page
    /// of zeros, which a page that was only read is; the page map takes it for data.
    Data,
    /// The pages of a private mapping of a file that do not show the file any more.
    Changed,
    /// All of them, without asking.
    All,
}

/// The way in which pages are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanMethod {
    /// PAGEMAP_SCAN where the kernel has it (since Linux 6.7), else the page map.
    #[default]
    Auto,
    Pagemap,
    PagemapScan,
}

impl ProcessPages {
    /// Says whether the page of this entry of the page map is wanted.
    pub(super) fn wants(self, entry: u64) -> bool {
        let exists = entry & (PRESENT | SWAPPED) != 0;
        match self {
            Self::All => true,
            Self::Present | Self::Data => exists,
            Self::Changed => exists && entry & FILE == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, PRESENT, ProcessPages, SWAPPED};

    #[test]
    fn a_page_is_changed_when_it_exists_and_is_not_the_files() {
        for (entry, present, changed) in [
            (0, false, false),
            (FILE, false, false),
            (PRESENT, true, true),
            (SWAPPED, true, true),
            (PRESENT | FILE, true, false),
            (SWAPPED | FILE, true, false),
            // The other bits say other things.
            ((1 << 61) - 1, false, false),
            (PRESENT | ((1 << 61) - 1), true, true),
        ] {
            assert_eq!(ProcessPages::Present.wants(entry), present, "{entry:#x}");
            assert_eq!(ProcessPages::Data.wants(entry), present, "{entry:#x}");
            assert_eq!(ProcessPages::Changed.wants(entry), changed, "{entry:#x}");
            assert!(ProcessPages::All.wants(entry));
        }
    }
}
