//! What a source that reads past the page cache leaves behind: nothing, also where a server is stopped in the middle. It
//! counts what the process has, so it has the process for itself.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::time::{Duration, Instant};

use common::destination::Destination;
use common::{From, Running, Shape, folder_on_disk, options, pair, source, wait};

/// The threads and the descriptors of this process.
fn counts() -> (usize, usize) {
    let count = |folder| std::fs::read_dir(folder).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

fn stopped_in_the_middle(after: Duration) {
    let shapes = vec![Shape {
        host_page: 4096,
        // Neighbours are in different files.
        pages: [1, 2].repeat(1500),
        hot: None,
    }];
    let (mut main, connection) = pair();
    let mut options = options(&shapes, connection);
    let opening = options.opening.as_ref().map_or(0, Vec::len);
    options.ends_by_itself = false;
    let running = Running::start(options, source(&shapes, From::Direct, &folder_on_disk()));
    let destination = Destination::new(&shapes);
    let reader = destination.read_main(&main, opening, None);
    destination.pong(&mut main, 3).unwrap();
    assert!(wait(running.control.loaded()));
    std::thread::sleep(after);
    running.control.stop();
    running.result().unwrap_err();
    reader.join().unwrap();
}

#[test]
fn nothing_is_left() {
    stopped_in_the_middle(Duration::ZERO);
    let before = counts();
    for milliseconds in 0..20 {
        stopped_in_the_middle(Duration::from_millis(milliseconds / 2));
    }
    // A thread that was waited for may be listed for a moment longer.
    let began = Instant::now();
    while counts() != before && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(counts(), before);
}
