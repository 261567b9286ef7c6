//! A server that takes over from one that died, wherever the stream was cut.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::net::Shutdown;

use common::destination::{Destination, End};
use common::{From, Running, Shape, check_memory, listener, options, shapes, source, sources};
use mapped_ram_engine::ErrorKind;
use mapped_ram_serve::Push;
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Debug, Clone)]
struct Case {
    shapes: Vec<Shape>,
    from: From,
    preempt: bool,
    gentle: bool,
    /// Each server's connections are cut behind so many bytes of its sections, in thousandths of all content.
    cuts: Vec<u64>,
    requests: Vec<(usize, u64)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let requests = prop::collection::vec((0..8_usize, 0..64_u64), 0..20);
    let cuts = prop::collection::vec(0..1100_u64, 1..4);
    (shapes(), sources(), any::<bool>(), any::<bool>(), cuts, requests).prop_map(
        |(shapes, from, preempt, gentle, cuts, requests)| Case {
            shapes,
            from,
            preempt,
            gentle,
            cuts,
            requests,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn memory_is_complete_after_any_number_of_deaths(case in cases()) {
        let folder = TempDir::new().unwrap();
        let destination = Destination::new(&case.shapes);
        let pages: usize = case.shapes.iter().map(|shape| shape.pages.len()).sum();
        let mut complete = false;
        for (life, cut) in case.cuts.iter().enumerate() {
            if !complete {
                complete = serve_once(&case, &folder, &destination, life, Some(cut * pages as u64 * 5));
            }
        }
        if !complete {
            prop_assert!(serve_once(&case, &folder, &destination, case.cuts.len(), None));
        }
        check_memory(&case.shapes, &destination.state().memory);
    }
}

/// Runs one server, and says whether it came to the end.
fn serve_once(
    case: &Case,
    folder: &TempDir,
    destination: &Destination,
    life: usize,
    cut: Option<u64>,
) -> bool {
    let (listening, connection) = listener(folder, &format!("socket{life}"));
    let mut options = options(&case.shapes, connection);
    options.preempt = case.preempt;
    options.push = if case.gentle { Push::Gentle } else { Push::Full };
    let mut opening = options.opening.as_ref().map_or(0, Vec::len);
    if life > 0 {
        (options.opening, opening) = (None, 0);
    }
    let running = Running::start(options, source(&case.shapes, case.from, folder));
    let mut main = listening.accept().unwrap().0;
    let urgent = case.preempt.then(|| listening.accept().unwrap().0);
    let mut named = None;
    if life > 0 {
        // Requests that were not answered come again, some of them before RESUME_ACK.
        let open = destination.open_requests();
        let (early, late) = open.split_at(open.len() / 2);
        for (block, host) in early {
            destination.ask(&mut main, &mut named, *block, *host, 1).unwrap();
        }
        destination.be_taken_over(&mut main).unwrap();
        for (block, host) in late {
            destination.ask(&mut main, &mut named, *block, *host, 1).unwrap();
        }
        assert!(common::wait(running.control.loaded()));
    } else {
        destination.pong(&mut main, 3).unwrap();
    }
    let main_reader = destination.read_main(&main, opening, cut);
    let urgent_reader = urgent.as_ref().map(|urgent| destination.read_urgent(urgent));
    for (block, host) in &case.requests {
        let block = block % case.shapes.len();
        let host = (host + life as u64) % case.shapes[block].hosts();
        // The server may be gone already.
        let _ = destination.ask(&mut main, &mut named, block, host, 1);
    }
    let end = running.join(main_reader);
    if end == End::Stream {
        destination.shut(&mut main, 0).unwrap();
    } else {
        main.shutdown(Shutdown::Both).unwrap();
        urgent
            .iter()
            .for_each(|urgent| urgent.shutdown(Shutdown::Both).unwrap());
    }
    let progress = running.control.progress();
    assert_eq!(
        end == End::Stream,
        progress.sent_bytes == progress.content_bytes && end == End::Stream
    );
    let result = running.result();
    if let Some(reader) = urgent_reader {
        reader.join().unwrap();
    }
    if end == End::Stream {
        result.unwrap();
        return true;
    }
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(
        error
            .message()
            .starts_with("QEMU closed the connection after PONG 3"),
        "{error}"
    );
    false
}
