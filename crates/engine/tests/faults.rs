//! Faults of every kind, at every request of a small transfer: the result is right all the same, or an error with its
//! context comes back and nothing is left behind.

#![cfg(all(target_os = "linux", feature = "faulty"))]

mod common;

use std::fs::{self, File};
use std::panic;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};
use std::thread;
use std::time::Duration;

use common::copier::Copier;
use common::process::{Holdings, alone, private_bytes};
use common::spy::Spy;
use common::{Block, KIB, MIB, Noise, Page, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::file::{FileSource, Replace, SnapshotSource, SnapshotSpec, StagedFile};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::queue::QueueFactory;
use mapped_ram_engine::queue::faulty::{Fault, FaultyQueue, Script};
use mapped_ram_engine::queue::{self, Queue};
use mapped_ram_engine::{
    CancelToken, DirectIo, Direction, EngineError, ErrorKind, IoEngine, Plan, Report, Transfer, Tuning,
};
use rustix::io::Errno;

/// A small guest: its memory, the snapshot, and what the oracle makes of them.
struct Guest {
    directory: tempfile::TempDir,
    blocks: Vec<Block>,
    memories: Vec<TestMemory>,
    snapshot: TestFile,
    loaded: Vec<TestMemory>,
}

impl Guest {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = vec![block("ram", 0, 23), block("rom", MIB, 9)];
        let memories: Vec<TestMemory> = blocks
            .iter()
            .map(|block| {
                let file = TestFile::new(directory.path(), &block.name, Place::Memfd);
                file.file.set_len(block.length()).expect("a size");
                block.fill_memory(&file.file);
                TestMemory::new(file)
            })
            .collect();
        let snapshot = TestFile::new(directory.path(), "oracle", Place::Disk);
        let loaded = blocks
            .iter()
            .zip(&memories)
            .map(|(block, memory)| {
                common::naive::save(&memory.file.file, &snapshot.file, block);
                let file = TestFile::new(directory.path(), "loaded", Place::Memfd);
                common::naive::load(&snapshot.file, &file.file, block);
                TestMemory::new(file)
            })
            .collect();
        Self {
            directory,
            blocks,
            memories,
            snapshot,
            loaded,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn plan(&self, setup: Setup, snapshot: SnapshotSpec, memories: &[TestMemory]) -> Plan {
        Plan {
            tuning: Tuning {
                channels: Some(setup.channels),
                queue_depth: 3,
                request_size: common::size(16 * KIB),
                io_engine: setup.engine,
                direct_io: setup.direct_io,
                ..Tuning::default()
            },
            ..Plan::new(
                setup.direction,
                snapshot,
                self.blocks
                    .iter()
                    .zip(memories)
                    .map(|(block, memory)| match setup.direction {
                        Direction::Scan => block.region(MemorySpec::None),
                        Direction::Save | Direction::Load => block.region(memory.spec()),
                    })
                    .collect(),
            )
        }
    }

    /// Makes a load, or a scan whose visitor copies the pages that it sees to the sinks.
    fn reading(&self, setup: Setup, sinks: &[TestMemory]) -> Transfer {
        let transfer = Transfer::new(self.plan(setup, self.snapshot.snapshot(), sinks));
        if setup.direction == Direction::Load {
            return transfer;
        }
        let files = sinks.iter().map(|sink| &sink.file.file);
        transfer.visited_by(Arc::new(Copier::new(files, 4096)))
    }

    fn save_plan(&self, setup: Setup, staged: &StagedFile) -> Plan {
        self.plan(setup, SnapshotSpec::path(staged.partial()), &self.memories)
    }

    /// Makes the memories that are to be filled. A load finds something in them; the visitor of a scan, which sees no
    /// clear pages, finds zeros.
    fn sinks(&self, direction: Direction) -> Vec<TestMemory> {
        let old = if direction == Direction::Scan { 0 } else { 0x5a };
        self.blocks
            .iter()
            .map(|block| {
                let file = TestFile::new(self.path(), &block.name, Place::Memfd);
                std::os::unix::fs::FileExt::write_all_at(
                    &file.file,
                    &vec![old; common::size(block.length())],
                    0,
                )
                .expect("old contents");
                TestMemory::new(file)
            })
            .collect()
    }

    fn assert_saved(&self, file: &File, what: &str) {
        common::assert_same(what, &common::contents(file), &self.snapshot.contents());
    }

    fn assert_loaded(&self, sinks: &[TestMemory], what: &str) {
        for (found, expected) in sinks.iter().zip(&self.loaded) {
            common::assert_same(what, &found.contents(), &expected.contents());
        }
    }
}

/// Lays pages out in runs that end inside requests and cross them.
fn block(name: &str, start: u64, pages: usize) -> Block {
    let mut block = Block {
        name: name.to_owned(),
        page_size: 4096,
        pages: Pattern::AllData.pages(pages, 4, 0),
        seed: start + 1,
        memory_offset: 0,
        pages_offset: start + 64 * KIB,
        bitmap_offset: start + 4096,
        store_zero_pages: false,
        memory_is_zero: false,
    };
    for zero in [1, 2, 7, 8, 13] {
        if let Some(page) = block.pages.get_mut(zero) {
            *page = Page::Zero;
        }
    }
    block
}

#[derive(Debug, Clone, Copy)]
struct Setup {
    direction: Direction,
    engine: IoEngine,
    channels: usize,
    direct_io: DirectIo,
}

fn setups(directory: &Path) -> Vec<Setup> {
    let direct = common::direct_io(directory);
    let mut setups = Vec::new();
    for direction in [Direction::Save, Direction::Load, Direction::Scan] {
        for engine in common::engines() {
            for (channels, direct_io) in [(1, DirectIo::Off), (1, direct), (3, direct)] {
                setups.push(Setup {
                    direction,
                    engine,
                    channels,
                    direct_io,
                });
            }
        }
    }
    setups
}

fn run(transfer: Transfer, engine: IoEngine, script: &Script) -> Result<Report, EngineError> {
    let factory: &QueueFactory<'_> = &|count, file, options| {
        let (queues, state) = queue::make_queues(engine, count, file, options)?;
        let faulty = queues
            .into_iter()
            .map(|inner| Box::new(FaultyQueue::new(inner, script.clone())) as Box<dyn Queue>)
            .collect();
        Ok((faulty, state))
    };
    transfer.run_with(factory)
}

/// Silences the reports of injected panics, which would be hundreds of backtraces. Other panics are reported.
fn silence_injected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"fault injected") {
                report(info);
            }
        }));
    });
}

/// The outcome that a fault must lead to.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Right,
    /// An I/O error with this errno and the offset of the request.
    Request(Errno),
    /// An I/O error with this errno that belongs to no single request.
    Channel(Errno),
    Panic,
}

fn check_error(error: &EngineError, outcome: Outcome, name: &str, end: u64, what: &str) {
    let (kind, errno) = match outcome {
        Outcome::Right => unreachable!("checked by the caller"),
        Outcome::Request(errno) | Outcome::Channel(errno) => (ErrorKind::Io, Some(errno)),
        Outcome::Panic => (ErrorKind::Internal, None),
    };
    assert_eq!(error.kind(), kind, "{what}: {error}");
    assert_eq!(
        error.io_source().and_then(std::io::Error::raw_os_error),
        errno.map(Errno::raw_os_error),
        "{what}: {error}"
    );
    match outcome {
        Outcome::Panic => assert!(error.message().contains("fault injected"), "{what}: {error}"),
        _ => assert_eq!(error.path(), Some(name), "{what}: {error}"),
    }
    if matches!(outcome, Outcome::Request(_)) {
        let offset = error.offset().expect("the request's offset");
        assert!((4096..end).contains(&offset), "{what}: {error}");
    }
    assert!(!error.message().is_empty());
}

/// Runs a transfer with a fault and checks everything that it may leave behind.
fn provoke(guest: &Guest, setup: Setup, script: &Script, outcome: Outcome, publish: bool) {
    let what = format!("{setup:?} {script:?}");
    let before = Holdings::idle();
    match setup.direction {
        Direction::Save => {
            let directory = guest.path().join("target");
            fs::create_dir(&directory).expect("a directory");
            let target = directory.join("snapshot");
            let staged = StagedFile::create(&target, 0, Replace::Never).expect("a partial file");
            let name = staged.partial().display().to_string();
            let result = run(
                Transfer::new(guest.save_plan(setup, &staged)),
                setup.engine,
                script,
            );
            match (outcome, result) {
                (Outcome::Right, result) => {
                    result.unwrap_or_else(|error| unexpected(&what, &error));
                    guest.assert_saved(staged.file(), &what);
                    if publish {
                        staged.sync().expect("it is durable");
                        staged.publish().expect("the file gets its name");
                        guest.assert_saved(&File::open(&target).expect("the final file"), &what);
                        assert_eq!(common::names(&directory), ["snapshot"], "{what}");
                    }
                }
                (_, Ok(_)) => unexpected(&what, &"the transfer succeeded"),
                (_, Err(error)) => {
                    check_error(&error, outcome, &name, 2 * MIB, &what);
                    drop(staged);
                    assert!(common::names(&directory).is_empty(), "{what}");
                }
            }
            fs::remove_dir_all(&directory).expect("the directory goes");
        }
        Direction::Load | Direction::Scan => {
            let sinks = guest.sinks(setup.direction);
            let name = guest.snapshot.source().name();
            let result = run(guest.reading(setup, &sinks), setup.engine, script);
            match (outcome, result) {
                (Outcome::Right, result) => {
                    result.unwrap_or_else(|error| unexpected(&what, &error));
                    guest.assert_loaded(&sinks, &what);
                }
                (_, Ok(_)) => unexpected(&what, &"the transfer succeeded"),
                (_, Err(error)) => check_error(&error, outcome, &name, 2 * MIB, &what),
            }
        }
    }
    before.assert_again(&what);
}

#[expect(clippy::panic, reason = "it is how a test fails")]
fn unexpected<T>(what: &str, found: &dyn std::fmt::Display) -> T {
    panic!("{what}: {found}")
}

/// Counts the requests that the transfer makes when nothing goes wrong.
fn count_requests(guest: &Guest, setup: Setup) -> u64 {
    let script = Script::default();
    provoke(guest, setup, &script, Outcome::Right, true);
    script.submitted()
}

/// Lists the faults of one request, and the outcomes that they lead to.
fn single_faults() -> Vec<(Fault, Outcome)> {
    let mut faults = vec![
        (Fault::Delay, Outcome::Right),
        (Fault::Panic, Outcome::Panic),
        // The kernel asks to try these again.
        (Fault::Errno(Errno::AGAIN.raw_os_error()), Outcome::Right),
        (Fault::Errno(Errno::INTR.raw_os_error()), Outcome::Right),
    ];
    for bytes in [1, 511, 512, 4095, 4096, 4097] {
        faults.push((Fault::Short(bytes), Outcome::Right));
    }
    for errno in [Errno::IO, Errno::NOSPC, Errno::INVAL] {
        faults.push((Fault::Errno(errno.raw_os_error()), Outcome::Request(errno)));
    }
    for errno in [Errno::IO, Errno::AGAIN] {
        faults.push((Fault::Submit(errno.raw_os_error()), Outcome::Request(errno)));
        faults.push((Fault::Wait(errno.raw_os_error()), Outcome::Channel(errno)));
    }
    faults
}

#[test]
fn a_fault_at_any_request_is_survived_or_reported() {
    let _turn = alone();
    silence_injected_panics();
    let guest = Guest::new();
    let memory = OnceLock::new();
    for setup in setups(guest.path()) {
        let requests = count_requests(&guest, setup);
        let least = if setup.direction == Direction::Save { 2 } else { 0 };
        assert!(requests >= 8 + least, "{setup:?}: {requests} requests");
        memory.get_or_init(private_bytes);
        for (fault, outcome) in single_faults() {
            for number in 0..requests {
                // An fsync for each transfer would take longer than all the rest.
                let publish = number == requests - 1;
                provoke(
                    &guest,
                    setup,
                    &Script::new(Some(fault), [number]),
                    outcome,
                    publish,
                );
            }
        }
    }
    // The test runs thousands of transfers, each with buffers of 64 KiB a channel.
    let grown = private_bytes().saturating_sub(*memory.get_or_init(private_bytes));
    assert!(grown < 32 * MIB, "{grown} bytes of buffers were left behind");
}

#[test]
fn a_fault_of_every_request_is_survived_or_reported() {
    let _turn = alone();
    silence_injected_panics();
    let guest = Guest::new();
    let faults = [
        (Fault::Short(1000), Outcome::Right),
        (Fault::Short(4096), Outcome::Right),
        (Fault::Delay, Outcome::Right),
        (
            Fault::Errno(Errno::AGAIN.raw_os_error()),
            Outcome::Request(Errno::AGAIN),
        ),
        (
            Fault::Errno(Errno::INTR.raw_os_error()),
            Outcome::Request(Errno::INTR),
        ),
        (
            Fault::Errno(Errno::NOSPC.raw_os_error()),
            Outcome::Request(Errno::NOSPC),
        ),
        (
            Fault::Submit(Errno::IO.raw_os_error()),
            Outcome::Request(Errno::IO),
        ),
        (Fault::Wait(Errno::IO.raw_os_error()), Outcome::Channel(Errno::IO)),
        (Fault::Panic, Outcome::Panic),
    ];
    for setup in setups(guest.path()) {
        for (fault, outcome) in faults {
            provoke(&guest, setup, &Script::new(Some(fault), []), outcome, false);
        }
    }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        // The first request shrinks to a byte, and what is left of it to a byte, and so on for a while.
        let script = Script::new(Some(Fault::Short(1)), 0..600);
        provoke(&guest, setup, &script, Outcome::Right, false);
    }
}

/// The rest of a direct request may be unaligned, and must not stay direct then.
#[test]
fn a_direct_request_may_end_anywhere() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        if setup.direct_io == DirectIo::Off {
            continue;
        }
        for admitted in [1, 511, 512, 1000, 4095, 4096, 4097] {
            let what = format!("{setup:?} {admitted}");
            let directory = tempfile::tempdir().unwrap();
            let staged = StagedFile::create(&directory.path().join("snapshot"), 0, Replace::Never).unwrap();
            let sinks = guest.sinks(setup.direction);
            let transfer = match setup.direction {
                Direction::Save => Transfer::new(guest.save_plan(setup, &staged)),
                Direction::Load | Direction::Scan => guest.reading(setup, &sinks),
            };
            Spy::shortening(admitted)
                .run(transfer, setup.engine)
                .unwrap_or_else(|error| unexpected(&what, &error));
            match setup.direction {
                Direction::Save => guest.assert_saved(staged.file(), &what),
                Direction::Load | Direction::Scan => guest.assert_loaded(&sinks, &what),
            }
        }
    }
}

#[test]
fn completions_come_in_any_order() {
    let _turn = alone();
    let guest = Guest::new();
    let faults = [
        (None, Outcome::Right),
        (Some(Fault::Short(512)), Outcome::Right),
        (Some(Fault::Delay), Outcome::Right),
        (
            Some(Fault::Wait(Errno::IO.raw_os_error())),
            Outcome::Channel(Errno::IO),
        ),
    ];
    for setup in setups(guest.path()) {
        for (fault, outcome) in faults {
            for number in 0..4 {
                let mut script = Script::new(fault, [number]);
                script.reorder = true;
                provoke(&guest, setup, &script, outcome, false);
            }
        }
    }
}

/// Runs a save, a load or a scan that the hook of `cancel_at` cancels. Returns whether it was cancelled.
fn cancelled(
    guest: &Guest,
    setup: Setup,
    transfer: impl FnOnce(Transfer) -> Result<Report, EngineError>,
) -> bool {
    let before = Holdings::idle();
    let sinks = guest.sinks(setup.direction);
    let directory = tempfile::tempdir().expect("a directory");
    let staged =
        StagedFile::create(&directory.path().join("snapshot"), 0, Replace::Never).expect("a partial file");
    let ready = match setup.direction {
        Direction::Save => Transfer::new(guest.save_plan(setup, &staged)),
        Direction::Load | Direction::Scan => guest.reading(setup, &sinks),
    };
    let result = transfer(ready);
    match &result {
        Ok(_) if setup.direction == Direction::Save => {
            guest.assert_saved(staged.file(), "saved before it was cancelled")
        }
        Ok(_) => guest.assert_loaded(&sinks, "loaded before it was cancelled"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
    }
    drop(staged);
    assert!(common::names(directory.path()).is_empty());
    drop((sinks, directory));
    before.assert_again("a cancelled transfer");
    result.is_err()
}

#[test]
fn cancelling_at_any_request_ends_the_transfer() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        let requests = count_requests(&guest, setup);
        for number in 0..requests {
            let ended = cancelled(&guest, setup, |transfer| {
                let token = transfer.controls().cancel;
                let spy = Spy::new(move |at| {
                    if at == number {
                        token.cancel();
                    }
                });
                spy.run(transfer, setup.engine)
            });
            // The token may come too late only at the end of a transfer.
            assert!(
                ended || number + 4 >= requests,
                "{setup:?}: went on after request {number} of {requests}"
            );
        }
    }
}

#[test]
fn cancelling_at_a_random_moment_ends_the_transfer() {
    let _turn = alone();
    let guest = Guest::new();
    let mut noise = Noise::new(99);
    for setup in setups(guest.path()) {
        for _ in 0..12 {
            let pause = Duration::from_micros(noise.below(3000));
            cancelled(&guest, setup, |transfer| {
                let token = transfer.controls().cancel;
                thread::scope(|scope| {
                    scope.spawn(move || {
                        thread::sleep(pause);
                        token.cancel();
                    });
                    transfer.run()
                })
            });
        }
    }
}

#[test]
fn a_transfer_cancelled_before_it_starts_moves_nothing() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        let spy = Spy::default();
        let ended = cancelled(&guest, setup, |transfer| {
            let token: CancelToken = transfer.controls().cancel;
            token.cancel();
            assert!(token.is_cancelled());
            spy.run(transfer, setup.engine)
        });
        assert!(ended, "{setup:?}");
        assert!(spy.requests().is_empty(), "{setup:?}");
    }
}

/// Bits reach the file after the pages they vouch for.
#[test]
fn bitmaps_are_written_when_all_pages_are() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        if setup.direction != Direction::Save {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&directory.path().join("snapshot"), 0, Replace::Never).unwrap();
        let spy = Spy::default();
        spy.run(Transfer::new(guest.save_plan(setup, &staged)), setup.engine)
            .unwrap();
        let requests = spy.requests();
        let is_bitmap = |offset: u64| guest.blocks.iter().any(|block| block.bitmap_offset == offset);
        let (bitmaps, pages): (Vec<_>, Vec<_>) = requests
            .iter()
            .enumerate()
            .partition(|(_, request)| is_bitmap(request.offset));
        assert_eq!(bitmaps.len(), guest.blocks.len());
        let last_page = pages.iter().map(|(index, _)| *index).max().unwrap();
        assert!(bitmaps.iter().all(|(index, _)| *index > last_page), "{setup:?}");
    }
}

/// No page may get its bit when the page was not written.
#[test]
fn a_failed_save_leaves_no_bit_set() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        if setup.direction != Direction::Save {
            continue;
        }
        let requests = count_requests(&guest, setup);
        for number in 0..requests - 2 {
            let directory = tempfile::tempdir().unwrap();
            let staged = StagedFile::create(&directory.path().join("snapshot"), 0, Replace::Never).unwrap();
            // The bitmaps lie inside the file already, clear.
            staged.file().set_len(2 * MIB).unwrap();
            let script = Script::new(Some(Fault::Errno(Errno::IO.raw_os_error())), [number]);
            run(
                Transfer::new(guest.save_plan(setup, &staged)),
                setup.engine,
                &script,
            )
            .unwrap_err();
            for block in &guest.blocks {
                let set = (0..block.pages.len() as u64)
                    .filter(|page| common::naive::is_set(staged.file(), block, *page))
                    .count();
                assert_eq!(set, 0, "{setup:?}: bits of {} after a failure", block.name);
            }
        }
    }
}

/// A caller may hand the partial file over as a descriptor.
#[test]
fn a_staged_file_can_be_named_by_its_descriptor() {
    let _turn = alone();
    let guest = Guest::new();
    for setup in setups(guest.path()) {
        if setup.direction != Direction::Save {
            continue;
        }
        let before = Holdings::idle();
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("snapshot");
        let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
        let spec = SnapshotSpec {
            source: SnapshotSource::File(FileSource::Fd(std::os::fd::AsRawFd::as_raw_fd(staged.file()))),
            direct: None,
            name: "the snapshot".to_owned(),
        };
        let plan = guest.plan(setup, spec, &guest.memories);
        let script = Script::new(Some(Fault::Errno(Errno::IO.raw_os_error())), [1]);
        let error = run(Transfer::new(plan), setup.engine, &script).unwrap_err();
        assert_eq!(error.path(), Some("the snapshot"));
        drop((staged, directory));
        before.assert_again("a failed save by descriptor");
    }
}
