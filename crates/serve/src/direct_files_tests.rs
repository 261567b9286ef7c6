//! Tests of reads past the page cache by queues that go wrong, and by one that stands still.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::{FileSource, SnapshotFile};
use mapped_ram_engine::queue::faulty::{Fault, FaultyQueue, Script};
use mapped_ram_engine::queue::{Completion, IoEngineState, Queue, QueueOptions, Request, make_queues};
use mapped_ram_engine::{ErrorKind, IoEngine};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::batch::Batch;
use crate::direct_files::DirectFiles;
use crate::options::Layer;
use crate::page_set::PageSet;
use crate::records::{PAGE_BYTES, PAGE_SIZE};
use crate::source::{PageSource, Reading};

const PAGES: u64 = 600;
/// The requests that pushed pages may have under way, and all.
const FOR_PUSHES: usize = 24;

/// A file of pages beside this program, which is not in memory.
fn written(folder: &TempDir, start: u64) -> FileSource {
    let path = folder.path().join("pages");
    let mut bytes = vec![0xee; usize::try_from(start).unwrap()];
    bytes.extend((0..PAGES).flat_map(page));
    std::fs::write(&path, bytes).unwrap();
    FileSource::Path(path)
}

fn page(number: u64) -> [u8; PAGE_BYTES] {
    let mut bytes = [0; PAGE_BYTES];
    bytes.as_chunks_mut::<8>().0.fill((number + 1).to_le_bytes());
    bytes
}

fn folder() -> TempDir {
    TempDir::new_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
}

type Queues = Result<(Vec<Box<dyn Queue>>, IoEngineState)>;

fn source(
    start: u64,
    engine: IoEngine,
    wrap: impl Fn(Box<dyn Queue>) -> Box<dyn Queue>,
) -> Result<DirectFiles> {
    let folder = folder();
    let layer = Layer {
        file: 0,
        pages_offset: start,
        pages: PageSet::from_bytes("bits", PAGES, &[0xff; 75]).unwrap(),
    };
    let files = [(written(&folder, start), "pages.mr".to_owned())];
    let make = |count: usize, file: &Arc<SnapshotFile>, options: QueueOptions| -> Queues {
        let (queues, state) = make_queues(engine, count, file, options)?;
        Ok((queues.into_iter().map(&wrap).collect(), state))
    };
    DirectFiles::open_with(files, vec![(PAGES, vec![layer])], &make)
}

fn batch(pages: impl IntoIterator<Item = u64>, urgent: bool) -> Batch {
    let mut batch = Batch::new(0, 1, pages.into_iter().collect(), |_| true, None).unwrap();
    batch.asked = urgent.then(Instant::now);
    batch
}

fn every_other() -> Batch {
    batch((0..PAGES).step_by(2), false)
}

fn wait(reading: Reading<'_>) -> (Batch, Result<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(reading)
}

fn check(batch: &mut Batch) {
    for run in batch.runs() {
        for (number, slot) in (run.first..).zip(run.slots()) {
            assert!(slot == page(number), "page {number} differs");
        }
    }
}

fn faults() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        Just(None),
        (1..200_000_usize).prop_map(|most| Some(Fault::Short(most))),
        Just(Some(Fault::Delay)),
        prop_oneof![Just(4), Just(11)].prop_map(|errno| Some(Fault::Errno(errno))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn all_pages_come_whatever_the_queue_does_that_can_be_mended(
        start in prop_oneof![Just(0_u64), Just(8192), 0..20_000_u64],
        threads in any::<bool>(),
        fault in faults(),
        at in prop::collection::hash_set(0..40_u64, 1..20),
        reorder in any::<bool>(),
        batches in prop::collection::vec((prop::collection::btree_set(0..PAGES, 1..120), any::<bool>()), 1..6),
    ) {
        let engine = if threads { IoEngine::Threads } else { IoEngine::Auto };
        let mut script = Script::new(fault, at);
        script.reorder = reorder;
        let source = source(start, engine, |queue| Box::new(FaultyQueue::new(queue, script.clone()))).unwrap();
        let readings: Vec<_> = batches.into_iter().map(|(pages, urgent)| source.read(batch(pages, urgent))).collect();
        for reading in readings {
            let (mut batch, result) = wait(reading);
            result.unwrap();
            check(&mut batch);
        }
    }
}

#[test]
fn a_request_that_fails_fails_its_batch_alone() {
    let script = Script::new(Some(Fault::Errno(5)), [0]);
    let source = source(8192, IoEngine::Auto, |queue| {
        Box::new(FaultyQueue::new(queue, script.clone()))
    });
    let source = source.unwrap();
    let (_, result) = wait(source.read(batch([7, 8, 9], false)));
    let error = result.unwrap_err();
    let place = Some(8192 + 7 * PAGE_SIZE);
    assert_eq!(
        (error.kind(), error.path(), error.offset()),
        (ErrorKind::Io, Some("pages.mr"), place)
    );
    let (mut batch, result) = wait(source.read(batch([7, 8, 9], false)));
    result.unwrap();
    check(&mut batch);
}

#[test]
fn a_queue_or_thread_that_breaks_fails_what_it_has_and_what_comes() {
    for fault in [Fault::Wait(5), Fault::Panic] {
        let script = Script::new(Some(fault), [3]);
        let source = source(0, IoEngine::Auto, |queue| {
            Box::new(FaultyQueue::new(queue, script.clone()))
        });
        let source = source.unwrap();
        for _ in 0..3 {
            let (_, result) = wait(source.read(every_other()));
            result.unwrap_err();
        }
    }
}

/// A queue whose requests end when they are let.
#[derive(Debug)]
struct Gated {
    inner: Box<dyn Queue>,
    gate: Receiver<()>,
    begun: Arc<Mutex<Vec<u64>>>,
}

impl Queue for Gated {
    fn start(&mut self) -> io::Result<()> {
        self.inner.start()
    }

    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        self.inner.slot(slot)
    }

    fn submit(&mut self, request: Request) -> io::Result<()> {
        self.begun.lock().unwrap().push(request.offset / PAGE_SIZE);
        self.inner.submit(request)
    }

    fn wait(&mut self) -> io::Result<Completion> {
        // When the other end is gone, the gate is open.
        let _ = self.gate.recv();
        self.inner.wait()
    }

    fn submissions(&self) -> u64 {
        self.inner.submissions()
    }
}

/// A source behind a gate, and the pages that its requests began with.
fn gated() -> (DirectFiles, Sender<()>, Arc<Mutex<Vec<u64>>>) {
    let (open, gate) = channel();
    let begun = Arc::<Mutex<Vec<u64>>>::default();
    let gate = Mutex::new(Some(gate));
    let source = source(0, IoEngine::Auto, |inner| {
        let gate = gate.lock().unwrap().take().unwrap();
        let begun = Arc::clone(&begun);
        Box::new(Gated { inner, gate, begun })
    });
    (source.unwrap(), open, begun)
}

fn until(begun: &Mutex<Vec<u64>>, count: usize) {
    let started = Instant::now();
    while begun.lock().unwrap().len() < count {
        assert!(started.elapsed().as_secs() < 20, "{begun:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_page_that_is_asked_for_waits_for_one_request_at_most() {
    let (source, open, begun) = gated();
    let pushed = source.read(every_other());
    until(&begun, FOR_PUSHES);
    let asked = source.read(batch([599], true));
    assert_eq!(begun.lock().unwrap().len(), FOR_PUSHES);
    open.send(()).unwrap();
    until(&begun, FOR_PUSHES + 1);
    assert_eq!(begun.lock().unwrap()[FOR_PUSHES], 599);
    drop(open);
    for reading in [asked, pushed] {
        let (mut batch, result) = wait(reading);
        result.unwrap();
        check(&mut batch);
    }
    let begun = begun.lock().unwrap();
    assert_eq!(begun.len(), 301);
    assert_eq!(begun.iter().collect::<HashSet<_>>().len(), 301);
}

#[test]
fn a_read_that_is_given_up_begins_no_more_requests() {
    let (source, open, begun) = gated();
    let pushed = source.read(every_other());
    until(&begun, FOR_PUSHES);
    drop(pushed);
    drop(open);
    // The source goes when all that is under way has ended.
    drop(source);
    assert_eq!(begun.lock().unwrap().len(), FOR_PUSHES);
}

#[test]
fn neighbours_are_one_request() {
    let (source, open, begun) = gated();
    drop(open);
    let (mut batch, result) = wait(source.read(batch(100..228, false)));
    result.unwrap();
    check(&mut batch);
    assert_eq!(*begun.lock().unwrap(), [100, 132, 164, 196]);
}

#[test]
fn a_file_without_direct_io_is_refused() {
    let error = DirectFiles::check(FileSource::Path("/proc/version".into()), "a snapshot".to_owned());
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.path()),
        (ErrorKind::DirectIoUnavailable, Some("a snapshot"))
    );
}
