//! Files without a name in memory, which need no directory and no room in one.

use std::fs::File;
use std::io;

/// Makes an empty file in memory. It is gone with its last descriptor and mapping. `name` is for /proc only.
#[cfg(target_os = "linux")]
pub fn memfd(name: &str) -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::Errno;
    // A hardened host (vm.memfd_noexec) makes no others; a kernel before 6.3 does not know the flag.
    match memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(memfd_create(name, MemfdFlags::CLOEXEC)?.into()),
        made => Ok(made?.into()),
    }
}

/// Other platforms have none.
#[cfg(not(target_os = "linux"))]
pub fn memfd(_name: &str) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
