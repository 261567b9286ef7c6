//! The question whether this process may handle its own page faults in user space, as QEMU's lazy restore does.
//!
//! The engine itself does not use it. `probe` reports it, since a QEMU of the same rights needs one for a lazy restore.

/// # Errors
/// in words, why it may not
#[cfg(target_os = "linux")]
pub fn probe_userfaultfd() -> Result<(), String> {
    use rustix::io::Errno;
    use rustix::mm::{UserfaultfdFlags, userfaultfd};

    // SAFETY: needed to ask the kernel. It is sound because nothing is registered with the descriptor, which is closed
    // at once, so no memory comes under its control.
    match unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK) } {
        Ok(_) => Ok(()),
        Err(Errno::NOSYS) => Err("the kernel was built without it".to_owned()),
        // QEMU asks the device first, since 8.0; whoever may open it needs no other right.
        Err(Errno::PERM) if may_open_device() => Ok(()),
        Err(Errno::PERM) => Err(
            "not for faults in the kernel: that takes CAP_SYS_PTRACE, or /dev/userfaultfd readable and writable, or \
             vm.unprivileged_userfaultfd=1, and a seccomp profile that lets it pass"
                .to_owned(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(target_os = "linux")]
fn may_open_device() -> bool {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd")
        .is_ok()
}

/// # Errors
/// always: other systems have no userfaultfd
#[cfg(not(target_os = "linux"))]
pub fn probe_userfaultfd() -> Result<(), String> {
    Err("only Linux has it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::probe_userfaultfd;

    #[test]
    fn says_yes_or_why_not() {
        if let Err(reason) = probe_userfaultfd() {
            assert!(!reason.is_empty());
        }
    }
}
