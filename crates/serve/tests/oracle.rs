//! The server against a naive destination that minds every rule of the protocol, whatever is asked for and when.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::time::Duration;

use common::destination::{Destination, End};
use common::{From, Running, Shape, check_memory, listener, options, pair, shapes, source, sources};
use mapped_ram_serve::Push;
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Debug, Clone)]
struct Case {
    shapes: Vec<Shape>,
    from: From,
    preempt: bool,
    push: Push,
    ends_by_itself: bool,
    /// Block, host page and count, each to be cut to what there is.
    requests: Vec<(usize, u64, u64)>,
    /// PONG 3 comes behind so many requests.
    loaded_after: usize,
    pause: Option<Duration>,
}

fn cases() -> impl Strategy<Value = Case> {
    let request = (
        0..8_usize,
        0..64_u64,
        prop_oneof![8 => Just(1_u64), 1 => 1..40_u64],
    );
    let push = prop_oneof![Just(Push::Full), Just(Push::Gentle), Just(Push::Off)];
    let requests = prop::collection::vec(request, 0..60);
    let pause = prop_oneof![
        Just(None),
        (0..300_u64).prop_map(|us| Some(Duration::from_micros(us)))
    ];
    let flags = (any::<bool>(), any::<bool>());
    (shapes(), sources(), flags, push, requests, 0..20_usize, pause).prop_map(
        |(shapes, from, (preempt, ends_by_itself), push, requests, loaded_after, pause)| Case {
            shapes,
            from,
            preempt,
            push,
            ends_by_itself,
            requests,
            loaded_after,
            pause,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_destination_gets_all_of_its_memory_once(case in cases()) {
        restore(&case);
    }
}

fn restore(case: &Case) {
    let folder = TempDir::new().unwrap();
    let source = source(&case.shapes, case.from, &folder);
    let (listening, path) = listener(&folder, "socket");
    let socket = (!case.preempt).then(pair);
    let (direct, connection) = match socket {
        Some((theirs, ours)) => (Some(theirs), ours),
        None => (None, path),
    };
    let mut options = options(&case.shapes, connection);
    (options.preempt, options.push, options.ends_by_itself) = (case.preempt, case.push, case.ends_by_itself);
    let opening = options.opening.as_ref().map_or(0, Vec::len);
    let running = Running::start(options, source);
    let mut main = direct.unwrap_or_else(|| listening.accept().unwrap().0);
    let urgent = case.preempt.then(|| listening.accept().unwrap().0);

    let destination = Destination::new(&case.shapes);
    let main_reader = destination.read_main(&main, opening, None);
    let urgent_reader = urgent.as_ref().map(|urgent| destination.read_urgent(urgent));
    let mut named = None;
    let mut loaded = false;
    destination.pong(&mut main, 1).unwrap();
    for (index, (block, host, count)) in case.requests.iter().enumerate() {
        if index == case.loaded_after {
            loaded = true;
            destination.pong(&mut main, 3).unwrap();
        }
        let block = block % case.shapes.len();
        let host = host % case.shapes[block].hosts();
        destination
            .ask(&mut main, &mut named, block, host, *count)
            .unwrap();
        if let Some(pause) = case.pause {
            std::thread::sleep(pause);
        }
    }
    if !loaded {
        destination.wait_for_answers();
        destination.pong(&mut main, 3).unwrap();
    }
    if case.push == Push::Off {
        for (block, host) in destination.missing() {
            destination.ask(&mut main, &mut named, block, host, 1).unwrap();
        }
    }
    running.control.end();
    assert_eq!(running.join(main_reader), End::Stream);
    if case.preempt {
        // Zero pages are answered behind the end, too.
        for block in 0..case.shapes.len() {
            destination.ask(&mut main, &mut named, block, 0, 3).unwrap();
        }
        destination.wait_for_answers();
    }
    let progress = running.ended();
    assert!(
        progress.ended && progress.loaded && progress.pushed,
        "{progress:?}"
    );
    assert_eq!(progress.sent_bytes, progress.content_bytes);
    destination.shut(&mut main, 0).unwrap();
    let report = running.result().unwrap();
    if let Some(reader) = urgent_reader {
        reader.join().expect("the second connection is right");
    }
    check_memory(&case.shapes, &destination.state().memory);
    assert_eq!(
        report.pushed_bytes + report.answered_bytes,
        progress.content_bytes
    );
    assert_eq!(report.requests, report.repeated + report.answered_pages);
}
