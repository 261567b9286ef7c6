//! The memory of another process: which of its pages are there, what they hold, and a copy of some of them.
//!
//! QEMU keeps the private memory of a guest in its own pages, which no file has. The kernel tells which of them exist
//! (/proc/PID/pagemap, or its PAGEMAP_SCAN), and copies them (process_vm_readv). Nothing here writes to a process.

mod copy;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod maps;
#[cfg(target_os = "linux")]
mod pagemap;
mod pages;
#[cfg(target_os = "linux")]
mod parts;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(target_os = "linux")]
mod scan;
mod stretches;
#[cfg(target_os = "linux")]
mod vm;

pub(crate) use copy::Contents;
pub use copy::{BlockRuns, Copied, ProcessCopy};
#[cfg(target_os = "linux")]
pub(crate) use maps::require_mapped;
#[cfg(target_os = "linux")]
pub use pagemap::{Pagemap, changed_pages};
pub use pages::{ProcessPages, ScanMethod};
#[cfg(target_os = "linux")]
pub use rights::process_rights;
#[cfg(target_os = "linux")]
pub(crate) use vm::read_process;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{changed_pages, process_rights};
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{read_process, require_mapped};

/// The reasons, in words, why this process may not look into another; `None` where it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRights {
    /// The page map, which tells which pages there are.
    pub pagemap: Option<String>,
    /// The memory itself.
    pub memory: Option<String>,
}

/// A part of a process's memory, and the place that gets its bytes.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// The address in the process.
    pub(crate) address: u64,
    pub(crate) bytes: &'a mut [u8],
}

/// Names the memory of a process in errors.
pub(crate) fn name_of(pid: u32) -> String {
    format!("/proc/{pid}/mem")
}
