//! The holdings of this process: descriptors, the engine's threads, rings. None of them may outlive a transfer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Tests that count descriptors or change limits of the process take turns.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// The files to which the open descriptors point.
    descriptors: BTreeMap<String, String>,
    /// The threads of the engine and io_uring's helpers. Other threads are the test harness's, which come and go.
    threads: Vec<String>,
    /// The number of rings that are mapped.
    rings: usize,
}

impl Holdings {
    /// Takes down what a process holds when no transfer runs.
    pub(crate) fn idle() -> Self {
        Self {
            threads: Vec::new(),
            ..Self::now()
        }
    }

    fn now() -> Self {
        let descriptors = fs::read_dir("/proc/self/fd")
            .expect("the process's descriptors")
            .flatten()
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?.display().to_string();
                // This descriptor is the one that the listing is read through.
                let own = target.starts_with("/proc/") && target.ends_with("/fd");
                (!own).then(|| (entry.file_name().to_string_lossy().into_owned(), target))
            })
            .collect();
        let mut threads: Vec<String> = fs::read_dir("/proc/self/task")
            .expect("the process's threads")
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
            .map(|name| name.trim_end().to_owned())
            .filter(|name| name.starts_with("mapped-ram") || name.starts_with("iou-"))
            .collect();
        threads.sort_unstable();
        let maps = fs::read_to_string("/proc/self/maps").expect("the process's mappings");
        Self {
            descriptors,
            threads,
            rings: maps.matches("io_uring").count(),
        }
    }

    /// Fails unless the process comes to hold just this again. The kernel takes rings and their threads down in its own
    /// time, so it gets some.
    pub(crate) fn assert_again(&self, after: &str) {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let now = Self::now();
            if now == *self {
                return;
            }
            if Instant::now() > deadline {
                assert_eq!(now, *self, "left behind by {after}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Counts the bytes of private writable memory, in which buffers that were not unmapped show up.
pub(crate) fn private_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))
        .expect("VmData");
    let kibibytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number of KiB");
    kibibytes * 1024
}

const CHILD: &str = "MAPPED_RAM_TEST_CHILD";

/// Says whether this process is the one that `in_child` started for `test`.
pub(crate) fn is_child(test: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|name| name == test)
}

/// Runs one test of this binary again in a process of its own, as another user if one is given. `Err` says why it could
/// not be started; a child that fails fails the test.
pub(crate) fn in_child(test: &str, user: Option<u32>) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env(CHILD, test);
    if let Some(user) = user {
        command.uid(user).gid(user).current_dir("/");
    }
    let output = command
        .output()
        .map_err(|error| format!("a child process cannot be started: {error}"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{test} in a child process: {said}");
    for line in said.lines().filter(|line| line.contains(": skipped: ")) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    assert!(said.contains("1 passed"), "{test} ran in the child: {said}");
    Ok(())
}
