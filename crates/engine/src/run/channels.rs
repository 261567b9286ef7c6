//! The threads of a run: all are made, then all go, and each is joined, whichever way it ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use super::ending::Ending;
use crate::error::{EngineError, ErrorKind, Result};

/// Spawns a thread for each channel and lets the threads go together, once all exist.
/// # Errors
/// the first one that a channel met
pub(super) fn run_channels<T: Send>(
    ending: &Ending,
    name: &str,
    channels: Vec<T>,
    run: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let run = &run;
    thread::scope(|scope| {
        let mut gates = Vec::with_capacity(channels.len());
        let mut threads = Vec::with_capacity(channels.len());
        let mut result = Ok(());
        for (index, channel) in channels.into_iter().enumerate() {
            let (open, gate) = mpsc::channel();
            let spawned = thread::Builder::new()
                .name(format!("mapped-ram-{index}"))
                .spawn_scoped(scope, move || run_channel(ending, &gate, || run(channel)));
            match spawned {
                Ok(thread) => {
                    gates.push(open);
                    threads.push(thread);
                }
                Err(error) => {
                    // The threads that wait at their gates end when these are gone.
                    gates.clear();
                    result = Err(EngineError::io("starting a channel's thread", error).on(name));
                    break;
                }
            }
        }
        for gate in gates {
            // A thread that is gone has said why in `ending`.
            let _ = gate.send(());
        }
        for thread in threads {
            // The scope would wait for the closures only; the threads themselves are to be gone. Panics were caught.
            let _ = thread.join();
        }
        result
    })?;
    ending.take_error().map_or(Ok(()), Err)
}

fn run_channel(ending: &Ending, gate: &mpsc::Receiver<()>, run: impl FnOnce() -> Result<()>) {
    if gate.recv().is_err() {
        return;
    }
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => ending.fail(error),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            ending.fail(EngineError::new(
                ErrorKind::Internal,
                format!("a channel panicked: {words}"),
            ));
        }
    }
}
