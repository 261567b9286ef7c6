//! Pages that cannot be read, servers that are stopped, peers that do nothing, limits.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::destination::{Destination, End};
use common::{
    From, PAGE, Running, Shape, check_memory, folder_on_disk, in_memory, listener, options, pair, source,
    wait,
};
use mapped_ram_engine::ErrorKind;
use mapped_ram_engine::file::FileSource;
use mapped_ram_serve::{DirectFiles, Layer, LayeredFiles, PageSet, PageSource, Push};
use proptest::prelude::*;
use tempfile::TempDir;

fn shape(host_page: u64, pages: usize) -> Vec<Shape> {
    vec![Shape {
        host_page,
        pages: vec![1; pages],
        hot: None,
    }]
}

/// Waits until all content but so many host pages is there.
fn sent_but(destination: &Destination, missing: usize) {
    let began = Instant::now();
    while destination.missing().len() != missing {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?} are missing",
            destination.missing()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_page_that_cannot_be_read_is_skipped_and_told() {
    for (host_page, delay) in [
        (4096, None),
        (65536, None),
        (65536, Some(Duration::from_micros(100))),
    ] {
        let shapes = shape(host_page, 320);
        let mut memory = in_memory(&shapes);
        memory.delay = delay;
        memory.broken.insert((0, 70));
        let (mut main, connection) = pair();
        let options = options(&shapes, connection);
        let opening = options.opening.as_ref().map_or(0, Vec::len);
        let running = Running::start(options, Arc::new(memory));
        let destination = Destination::new(&shapes);
        let reader = destination.read_main(&main, opening, None);
        destination.pong(&mut main, 3).unwrap();
        sent_but(&destination, 1);
        let per_host = host_page / PAGE as u64;
        assert_eq!(destination.missing(), [(0, 70 / per_host)]);
        let error = wait(running.control.unreadable()).unwrap();
        let start = 70 / per_host * host_page;
        let words = format!("page 0x{start:x} of block \"m\" cannot be read");
        assert!(error.message().starts_with(&words), "{error}");
        assert_eq!(
            (error.path(), error.offset()),
            (Some("memory"), Some(70 * PAGE as u64))
        );
        // It is asked for in vain, and the end does not come.
        destination
            .ask(&mut main, &mut None, 0, 70 / per_host, 1)
            .unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let progress = running.control.progress();
        assert!(
            !progress.pushed && !progress.ended && progress.pending_requests == 0,
            "{progress:?}"
        );
        running.control.stop();
        let pushed = running.control.pushed();
        assert_eq!(running.result().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(!wait(pushed));
        reader.join().unwrap();
    }
}

#[test]
fn a_file_that_is_too_short_is_an_error_and_no_zeros() {
    too_short(&|files, blocks| Arc::new(LayeredFiles::open(files, blocks).unwrap()));
    too_short(&|files, blocks| Arc::new(DirectFiles::open(files, blocks).unwrap()));
}

type Open = dyn Fn(Vec<(FileSource, String)>, Vec<(u64, Vec<Layer>)>) -> Arc<dyn PageSource>;

fn too_short(open: &Open) {
    let folder = folder_on_disk();
    let path = folder.path().join("short");
    // The block begins behind the first page, and its last page is cut short.
    let shapes = shape(4096, 5);
    let whole: Vec<u8> = (0..5)
        .flat_map(|page| *shapes[0].page(0, page).unwrap())
        .collect();
    let mut file = vec![0; PAGE];
    file.extend(&whole);
    std::fs::write(&path, &file[..5 * PAGE + 100]).unwrap();
    let layer = Layer {
        file: 0,
        pages_offset: PAGE as u64,
        pages: PageSet::from_bytes("bits", 5, &[0xff]).unwrap(),
    };
    let files = vec![(FileSource::Path(path.clone()), "short.mr".to_owned())];
    let source = open(files, vec![(5, vec![layer])]);
    let (mut main, connection) = pair();
    let options = options(&shapes, connection);
    let opening = options.opening.as_ref().map_or(0, Vec::len);
    let running = Running::start(options, source);
    let destination = Destination::new(&shapes);
    let reader = destination.read_main(&main, opening, None);
    destination.pong(&mut main, 3).unwrap();
    let error = wait(running.control.unreadable()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(
        (error.path(), error.offset()),
        (Some("short.mr"), Some(5 * PAGE as u64))
    );
    sent_but(&destination, 1);
    // A later request tries again.
    std::fs::write(&path, &file).unwrap();
    destination.ask(&mut main, &mut None, 0, 4, 1).unwrap();
    assert_eq!(running.join(reader), End::Stream);
    destination.shut(&mut main, 0).unwrap();
    running.result().unwrap();
    check_memory(&shapes, &destination.state().memory);
}

#[test]
fn many_requests_at_once_are_all_answered() {
    for preempt in [false, true] {
        let shapes = shape(4096, 700);
        let folder = TempDir::new().unwrap();
        let (listening, connection) = listener(&folder, "socket");
        let mut options = options(&shapes, connection);
        (options.preempt, options.push) = (preempt, Push::Off);
        let opening = options.opening.as_ref().map_or(0, Vec::len);
        let running = Running::start(options, source(&shapes, From::Memory, &folder));
        let mut main = listening.accept().unwrap().0;
        let urgent = preempt.then(|| listening.accept().unwrap().0);
        let destination = Destination::new(&shapes);
        let reader = destination.read_main(&main, opening, None);
        let urgent_reader = urgent.as_ref().map(|urgent| destination.read_urgent(urgent));
        let (mut requests, mut named) = (Vec::new(), None);
        for host in 0..600 {
            destination.ask(&mut requests, &mut named, 0, host, 1).unwrap();
        }
        main.write_all(&requests).unwrap();
        destination.wait_for_answers();
        assert_eq!(destination.state().on_main, if preempt { 0 } else { 600 });
        running.control.stop();
        assert_eq!(running.result().unwrap_err().kind(), ErrorKind::Cancelled);
        reader.join().unwrap();
        if let Some(reader) = urgent_reader {
            reader.join().unwrap();
        }
    }
}

#[test]
fn a_peer_that_reads_nothing_is_waited_for_and_left_at_once() {
    let shapes = shape(4096, 4096);
    for opening in [0, 1 << 20] {
        let folder = TempDir::new().unwrap();
        let (mut main, connection) = pair();
        let mut options = options(&shapes, connection);
        options.opening = Some(vec![0; opening]);
        let running = Running::start(options, source(&shapes, From::Memory, &folder));
        main.write_all(&[0, 2, 0, 4, 0, 0, 0, 3]).unwrap();
        assert!(wait(running.control.loaded()));
        std::thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        running.control.stop();
        assert_eq!(running.result().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(
            began.elapsed() < Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn nobody_listens() {
    let folder = TempDir::new().unwrap();
    let shapes = shape(4096, 4);
    let path = || FileSource::Path(folder.path().join("nobody"));
    let mut soon = options(&shapes, path());
    soon.connect_timeout = Duration::from_millis(30);
    let error = Running::start(soon, source(&shapes, From::Memory, &folder))
        .result()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.message().starts_with("connecting to QEMU"), "{error}");
    let running = Running::start(options(&shapes, path()), source(&shapes, From::Memory, &folder));
    std::thread::sleep(Duration::from_millis(20));
    running.control.stop();
    assert_eq!(running.result().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_limit_of_the_bandwidth_holds_for_pushes() {
    let shapes = shape(4096, 1024);
    let folder = TempDir::new().unwrap();
    let (mut main, connection) = pair();
    let mut options = options(&shapes, connection);
    options.max_bandwidth = Some(20_000_000);
    let opening = options.opening.as_ref().map_or(0, Vec::len);
    let running = Running::start(options, source(&shapes, From::Files, &folder));
    let destination = Destination::new(&shapes);
    let reader = destination.read_main(&main, opening, None);
    let began = Instant::now();
    destination.pong(&mut main, 3).unwrap();
    // Answers do not wait for it.
    std::thread::sleep(Duration::from_millis(20));
    let asked = Instant::now();
    destination.ask(&mut main, &mut None, 0, 1000, 1).unwrap();
    destination.wait_for_answers();
    assert!(
        asked.elapsed() < Duration::from_millis(100),
        "{:?}",
        asked.elapsed()
    );
    running.join(reader);
    // 4 MiB less one section that may come at once.
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(150) && took < Duration::from_secs(5),
        "{took:?}"
    );
    destination.shut(&mut main, 0).unwrap();
    running.result().unwrap();
}

#[test]
fn a_page_that_waits_to_be_pushed_is_answered_at_once() {
    // With the delay, all is still being read when it is asked for.
    for delay in [None, Some(Duration::from_millis(150))] {
        for host_page in [4096, 65536] {
            let shapes = shape(host_page, 256);
            let mut memory = in_memory(&shapes);
            memory.delay = delay;
            let (mut main, connection) = pair();
            let mut options = options(&shapes, connection);
            // Every section has to wait for ten seconds after the first.
            options.max_bandwidth = Some(26_000);
            let opening = options.opening.as_ref().map_or(0, Vec::len);
            let running = Running::start(options, Arc::new(memory));
            let destination = Destination::new(&shapes);
            let reader = destination.read_main(&main, opening, None);
            destination.pong(&mut main, 3).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            let began = Instant::now();
            let mut named = None;
            for host in 0..shapes[0].hosts() {
                destination.ask(&mut main, &mut named, 0, host, 1).unwrap();
            }
            running.join(reader);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            destination.shut(&mut main, 0).unwrap();
            running.result().unwrap();
        }
    }
}

#[test]
fn a_peer_that_asks_and_never_reads_has_to_wait() {
    let shapes = shape(4096, 65536);
    let folder = TempDir::new().unwrap();
    let (mut main, connection) = pair();
    let mut options = options(&shapes, connection);
    options.push = Push::Off;
    let running = Running::start(options, source(&shapes, From::Memory, &folder));
    main.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let destination = Destination::new(&shapes);
    let mut named = None;
    let asked = (0..65536).take_while(|host| destination.ask(&mut main, &mut named, 0, *host, 1).is_ok());
    assert!(asked.count() < 30_000);
    let progress = running.control.progress();
    assert!(progress.pending_requests < 4000, "{progress:?}");
    running.control.stop();
    assert_eq!(running.result().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn the_end_waits_for_the_word() {
    let shapes = shape(4096, 100);
    let folder = TempDir::new().unwrap();
    let (mut main, connection) = pair();
    let mut options = options(&shapes, connection);
    options.ends_by_itself = false;
    let opening = options.opening.as_ref().map_or(0, Vec::len);
    let running = Running::start(options, source(&shapes, From::Memory, &folder));
    let destination = Destination::new(&shapes);
    let reader = destination.read_main(&main, opening, None);
    destination.pong(&mut main, 3).unwrap();
    assert!(wait(running.control.pushed()));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!running.control.progress().ended);
    running.control.end();
    running.join(reader);
    destination.shut(&mut main, 0).unwrap();
    running.result().unwrap();
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let folder = TempDir::new().unwrap();
    let shapes = shape(4096, 4);
    let refused = |change: &dyn Fn(&mut mapped_ram_serve::ServeOptions)| {
        let mut options = options(&shapes, pair().1);
        change(&mut options);
        let error = Running::start(options, source(&shapes, From::Memory, &folder))
            .result()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    };
    refused(&|options| options.preempt = true);
    refused(&|options| options.max_bandwidth = Some(0));
    refused(&|options| options.blocks[0].host_page = 12288);
    refused(&|options| options.blocks[0].host_page = 65536);
    refused(&|options| options.blocks[0].length = 8 * PAGE as u64);
    refused(&|options| options.blocks[0].id = "x".repeat(256));
    let twice = |options: &mut mapped_ram_serve::ServeOptions| {
        let block = options.blocks[0].clone();
        options.blocks.push(block);
    };
    // The second block has no source, which is never asked.
    let mut both = options(&[shapes[0].clone(), shapes[0].clone()], pair().1);
    twice(&mut both);
    both.blocks.swap_remove(1);
    let shapes = [shapes[0].clone(), shapes[0].clone()];
    let error = Running::start(both, source(&shapes, From::Memory, &folder))
        .result()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_stop_works_at_any_moment(micros in 0..6000_u64, slow: bool, preempt: bool, ask in 0..64_u64) {
        let shapes = shape(4096, 2000);
        let folder = TempDir::new().unwrap();
        let (listening, connection) = listener(&folder, "socket");
        let mut options = options(&shapes, connection);
        options.preempt = preempt;
        options.push = if micros % 2 == 0 { Push::Gentle } else { Push::Full };
        let opening = options.opening.as_ref().map_or(0, Vec::len);
        let from = if slow { From::SlowMemory } else { From::Files };
        let running = Running::start(options, source(&shapes, from, &folder));
        let began = Instant::now();
        let destination = Destination::new(&shapes);
        let peer = {
            let (destination, listening) = (destination.clone(), listening);
            std::thread::spawn(move || play(&destination, &listening, preempt, opening, ask))
        };
        while began.elapsed() < Duration::from_micros(micros) {
            std::hint::spin_loop();
        }
        let stopped = Instant::now();
        running.control.stop();
        let result = running.result();
        prop_assert!(stopped.elapsed() < Duration::from_millis(500));
        if let Err(error) = result {
            prop_assert_eq!(error.kind(), ErrorKind::Cancelled);
        }
        drop(peer);
    }
}

fn play(
    destination: &Destination,
    listening: &std::os::unix::net::UnixListener,
    preempt: bool,
    opening: usize,
    ask: u64,
) {
    let accept = || listening.accept().map(|(stream, _)| stream);
    let Ok(mut main) = accept() else { return };
    let urgent: Option<UnixStream> = if preempt { accept().ok() } else { None };
    let readers = (
        destination.read_main(&main, opening, None),
        urgent.as_ref().map(|urgent| destination.read_urgent(urgent)),
    );
    let _ = destination.pong(&mut main, 3);
    let _ = destination.ask(&mut main, &mut None, 0, ask, 1);
    let _ = readers.0.join();
}
