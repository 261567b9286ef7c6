//! Limits on descriptors, threads, memory and disk: the engine gives a clean error or makes do, and leaves nothing
//! behind. Limits belong to a process, so each test sets its own in a child.

#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::process::{Holdings, alone, in_child, is_child, private_bytes};
use common::{Block, KIB, MIB, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::file::{Replace, SnapshotSpec, StagedFile};
use mapped_ram_engine::{
    DirectIo, Direction, EngineError, ErrorKind, IoEngine, Plan, Report, Transfer, Tuning,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The user "nobody": root is above the limits on threads and locked memory.
const NOBODY: u32 = 65534;

struct Guest {
    directory: tempfile::TempDir,
    block: Block,
    memory: TestMemory,
    snapshot: TestFile,
}

impl Guest {
    fn new() -> Self {
        Self::of(Pattern::Random)
    }

    fn of(pattern: Pattern) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let block = Block {
            name: "ram".to_owned(),
            page_size: 4096,
            pages: pattern.pages(320, 16, 3),
            seed: 3,
            memory_offset: 0,
            pages_offset: MIB,
            bitmap_offset: 4096,
            store_zero_pages: false,
            memory_is_zero: true,
        };
        let memory = TestFile::new(directory.path(), "memory", Place::Disk);
        memory.file.set_len(block.length()).expect("a size");
        block.fill_memory(&memory.file);
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        common::naive::save(&memory.file, &snapshot.file, &block);
        Self {
            memory: TestMemory::new(memory),
            snapshot,
            block,
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn plan(&self, direction: Direction, snapshot: SnapshotSpec, memory: &TestMemory) -> Plan {
        Plan {
            tuning: Tuning {
                channels: Some(8),
                queue_depth: 4,
                request_size: common::size(64 * KIB),
                ..Tuning::default()
            },
            ..Plan::new(direction, snapshot, vec![self.block.region(memory.spec())])
        }
    }

    /// Runs a transfer to new files under a limit and compares what it made, if it succeeds.
    fn transfer(
        &self,
        direction: Direction,
        limit: Option<(Resource, u64)>,
        change: impl FnOnce(&mut Plan),
    ) -> Result<Report, EngineError> {
        let snapshot = TestFile::new(self.path(), "found", Place::Disk);
        let memory = TestMemory::new(TestFile::new(self.path(), "sink", Place::Memfd));
        let mut plan = match direction {
            Direction::Save => self.plan(direction, snapshot.snapshot(), &self.memory),
            Direction::Load | Direction::Scan => self.plan(direction, self.snapshot.snapshot(), &memory),
        };
        change(&mut plan);
        let transfer = Transfer::new(plan);
        let result = match limit {
            Some((resource, value)) => limited(resource, value, || transfer.run()),
            None => transfer.run(),
        };
        std::fs::remove_file(self.path().join("found")).expect("the file goes");
        if result.is_ok() {
            match direction {
                Direction::Save => {
                    common::assert_same("saved", &snapshot.contents(), &self.snapshot.contents());
                }
                Direction::Scan => {}
                Direction::Load => {
                    common::assert_same("loaded", &memory.contents(), &self.memory.contents());
                }
            }
        }
        result
    }
}

/// Lowers a limit for as long as `run` takes.
fn limited<T>(resource: Resource, value: u64, run: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource);
    let limit = Rlimit {
        current: Some(value),
        maximum: before.maximum,
    };
    setrlimit(resource, limit).expect("a lower limit");
    let result = run();
    setrlimit(resource, before).expect("the limit as it was");
    result
}

/// The kernel counts a ring that is gone for a moment longer, so a transfer that finds the limit reached may come too
/// early.
fn patiently(attempt: impl Fn() -> Result<Report, EngineError>) -> Result<Report, EngineError> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match attempt() {
            Err(error) if errno(&error) == Some(Errno::NOMEM) && Instant::now() < deadline => settle(),
            result => return result,
        }
    }
}

fn settle() {
    thread::sleep(Duration::from_millis(20));
}

#[expect(clippy::panic, reason = "it is how a test fails")]
fn unexpected<T>(what: &str, found: &dyn std::fmt::Display) -> T {
    panic!("{what}: {found}")
}

fn errno(error: &EngineError) -> Option<Errno> {
    error.io_source().and_then(Errno::from_io_error)
}

#[test]
fn too_few_descriptors() {
    if !is_child("too_few_descriptors") {
        in_child("too_few_descriptors", None).unwrap();
        return;
    }
    let guest = Guest::new();
    let mut setups = vec![(IoEngine::Auto, DirectIo::Auto)];
    for engine in common::engines() {
        setups.extend([(engine, DirectIo::Off), (engine, common::direct_io(guest.path()))]);
    }
    for direction in [Direction::Save, Direction::Load] {
        let unlimited = guest.transfer(direction, None, |_| {}).unwrap();
        let usual = (unlimited.io_engine.name, unlimited.direct_io.on);
        for (engine, direct_io) in setups.iter().copied() {
            let (mut failed, mut succeeded) = (0, 0);
            for limit in 3..30 {
                let before = Holdings::idle();
                let result = guest.transfer(direction, Some((Resource::Nofile, limit)), |plan| {
                    plan.tuning.io_engine = engine;
                    plan.tuning.direct_io = direct_io;
                });
                match result {
                    Ok(report) => {
                        succeeded += 1;
                        // A lack of descriptors is an error, not a reason to make do with less.
                        if engine == IoEngine::Auto {
                            let both = (report.io_engine.name, report.direct_io.on);
                            assert_eq!(both, usual, "{limit}: {report:?}");
                        }
                    }
                    Err(error) => {
                        failed += 1;
                        assert_eq!(errno(&error), Some(Errno::MFILE), "{limit}: {error}");
                        let kinds = [
                            ErrorKind::Io,
                            ErrorKind::EngineUnavailable,
                            ErrorKind::DirectIoUnavailable,
                        ];
                        assert!(kinds.contains(&error.kind()), "{limit}: {error}");
                    }
                }
                before.assert_again("a transfer with few descriptors");
            }
            assert!(
                failed > 0 && succeeded > 0,
                "{failed} failed, {succeeded} succeeded"
            );
        }
    }
}

#[test]
fn too_few_threads() {
    if !is_child("too_few_threads") {
        // The kernel counts this per user.
        let _turn = alone();
        if let Err(reason) = in_child("too_few_threads", Some(NOBODY)) {
            common::skipped("too few threads", &reason);
        }
        return;
    }
    let guest = Guest::new();
    for direction in [Direction::Save, Direction::Load] {
        let (mut failed, mut succeeded) = (0, 0);
        for limit in 0..40 {
            let before = Holdings::idle();
            let result = guest.transfer(direction, Some((Resource::Nproc, limit)), |plan| {
                plan.tuning.io_engine = IoEngine::Threads;
            });
            match result {
                Ok(_) => succeeded += 1,
                Err(error) => {
                    failed += 1;
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    assert!(error.message().contains("starting a channel's thread"), "{error}");
                    assert!(error.path().is_some());
                    assert_eq!(errno(&error), Some(Errno::AGAIN), "{error}");
                }
            }
            before.assert_again("a transfer with few threads");
        }
        // The first channels could be started, the others not: nine limits lead there at the least.
        assert!(failed >= 8, "{failed} failed");
        assert!(succeeded > 0, "{succeeded} succeeded");
    }
}

fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("its numbers");
    let pages = status
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).expect("a size");
    pages.expect("a number") * page
}

#[test]
fn too_little_memory() {
    if !is_child("too_little_memory") {
        in_child("too_little_memory", None).unwrap();
        return;
    }
    let guest = Guest::new();
    let engines = [common::engines(), vec![IoEngine::Auto]].concat();
    for direction in [Direction::Save, Direction::Load] {
        for engine in engines.iter().copied() {
            let before = Holdings::idle();
            let bytes = private_bytes();
            let now = address_space();
            // Threads need one buffer, for which this is too little.
            let error = guest
                .transfer(direction, Some((Resource::As, now + 12 * MIB)), |plan| {
                    plan.tuning.io_engine = engine;
                    plan.tuning.request_size = common::size(16 * MIB);
                })
                .unwrap_err();
            assert_eq!(errno(&error), Some(Errno::NOMEM), "{error}");
            let expected = if engine == IoEngine::IoUring {
                ErrorKind::EngineUnavailable
            } else {
                ErrorKind::Io
            };
            assert_eq!(error.kind(), expected, "{error}");
            before.assert_again("a transfer without memory");
            let left = private_bytes().saturating_sub(bytes);
            assert!(left < 4 * MIB, "{left} bytes of buffers were left behind");
            guest
                .transfer(direction, None, |plan| plan.tuning.io_engine = engine)
                .unwrap();
        }
    }
}

/// Registered buffers are locked memory. Requests name their buffers instead when the process may not lock so much.
#[test]
fn too_little_locked_memory() {
    if !is_child("too_little_locked_memory") {
        // The kernel counts this per user.
        let _turn = alone();
        if let Err(reason) = in_child("too_little_locked_memory", Some(NOBODY)) {
            common::skipped("too little locked memory", &reason);
        }
        return;
    }
    if let Err(reason) = mapped_ram_engine::queue::probe_io_uring() {
        common::skipped("too little locked memory", &reason);
        return;
    }
    let guest = Guest::new();
    for direction in [Direction::Save, Direction::Load] {
        for direct_io in [DirectIo::Off, common::direct_io(guest.path())] {
            let before = Holdings::idle();
            let transfer = |limit: u64, engine: IoEngine| {
                guest.transfer(direction, Some((Resource::Memlock, limit)), |plan| {
                    plan.tuning.io_engine = engine;
                    plan.tuning.direct_io = direct_io;
                })
            };
            // This is enough for the rings, which newer kernels count too, and not for 320 KiB of buffers each.
            let report = patiently(|| transfer(300 * KIB, IoEngine::IoUring)).unwrap();
            assert!(!report.io_engine.registered_buffers, "beyond the limit");
            let report = patiently(|| transfer(8 * MIB, IoEngine::IoUring)).unwrap();
            assert!(report.io_engine.registered_buffers, "within the limit");
            settle();
            // This is not even enough for rings, where they count.
            let explicit = transfer(0, IoEngine::IoUring);
            let automatic = transfer(0, IoEngine::Auto).unwrap().io_engine;
            match explicit {
                Ok(report) => assert!(!report.io_engine.registered_buffers),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::EngineUnavailable, "{error}");
                    assert_eq!(errno(&error), Some(Errno::NOMEM), "{error}");
                    assert!(error.message().contains("memlock"), "{error}");
                    assert_eq!(automatic.name, "threads");
                    assert!(automatic.why.contains("memlock"), "{}", automatic.why);
                }
            }
            before.assert_again("a transfer without locked memory");
        }
    }
}

/// Buffers must not use up what the rings of other channels need.
#[test]
fn more_locked_memory_does_no_harm() {
    if !is_child("more_locked_memory_does_no_harm") {
        // The kernel counts this per user.
        let _turn = alone();
        if let Err(reason) = in_child("more_locked_memory_does_no_harm", Some(NOBODY)) {
            common::skipped("more locked memory", &reason);
        }
        return;
    }
    if let Err(reason) = mapped_ram_engine::queue::probe_io_uring() {
        common::skipped("more locked memory", &reason);
        return;
    }
    let guest = Guest::new();
    let mut enough = None;
    for limit in (0..200).step_by(4) {
        let attempt = || {
            let limit = Some((Resource::Memlock, limit * KIB));
            guest.transfer(Direction::Save, limit, |plan| {
                plan.tuning.io_engine = IoEngine::IoUring;
                plan.tuning.channels = Some(3);
                plan.tuning.queue_depth = 2;
                plan.tuning.request_size = common::size(16 * KIB);
            })
        };
        match enough {
            None => {
                settle();
                enough = attempt().is_ok().then_some(limit);
            }
            Some(enough) => drop(patiently(attempt).unwrap_or_else(|error| {
                unexpected(&format!("{enough} KiB were enough, {limit} are not"), &error)
            })),
        }
    }
    assert!(enough.is_some());
}

/// A tmpfs of a megabyte, for as long as it lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "mapped-ram-test"])
            .arg(directory.path())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Self(directory));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl SmallDisk {
    fn free(&self) -> u64 {
        rustix::fs::statvfs(self.0.path()).expect("its numbers").f_bfree
    }

    /// Unmounts, which fails while anything holds a file there.
    fn unmount(&self) -> Result<(), String> {
        let output = Command::new("umount")
            .arg(self.0.path())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk() {
    if !is_child("a_full_disk") {
        in_child("a_full_disk", None).unwrap();
        return;
    }
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            common::skipped("a full disk", &reason);
            return;
        }
    };
    let free = disk.free();
    let guest = Guest::of(Pattern::AllData);
    for engine in common::engines() {
        for direct_io in [DirectIo::Off, DirectIo::Auto] {
            let before = Holdings::idle();
            let staged = StagedFile::create(&disk.0.path().join("snapshot"), 0, Replace::Never).unwrap();
            let mut plan = guest.plan(
                Direction::Save,
                SnapshotSpec::path(staged.partial()),
                &guest.memory,
            );
            plan.tuning.io_engine = engine;
            plan.tuning.direct_io = direct_io;
            let error = Transfer::new(plan).run().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(errno(&error), Some(Errno::NOSPC), "{error}");
            assert_eq!(error.path(), staged.partial().to_str());
            assert!(
                guest.block.pages_range().contains(&error.offset().unwrap()),
                "{error}"
            );
            drop(staged);
            assert!(common::names(disk.0.path()).is_empty());
            assert_eq!(disk.free(), free, "the space is free again at once");
            before.assert_again("a save to a full disk");
        }
        // This memory cannot take the pages.
        let before = Holdings::idle();
        let sink = disk.0.path().join("memory");
        std::fs::File::create(&sink).unwrap();
        let mut plan = guest.plan(Direction::Load, guest.snapshot.snapshot(), &guest.memory);
        plan.tuning.io_engine = engine;
        plan.regions[0].memory = mapped_ram_engine::memory::MemorySpec::File(
            mapped_ram_engine::file::FileSource::Path(sink.clone()),
        );
        let error = Transfer::new(plan).run().unwrap_err();
        assert_eq!(errno(&error), Some(Errno::NOSPC), "{error}");
        assert_eq!(error.path(), sink.to_str());
        assert!(error.offset().is_some());
        std::fs::remove_file(&sink).unwrap();
        assert_eq!(disk.free(), free, "the space is free again at once");
        before.assert_again("a load into full memory");
    }
}

/// The kernel takes a ring down in its own time; its files must not wait for that.
#[test]
fn a_disk_can_be_unmounted_when_a_transfer_ends() {
    if !is_child("a_disk_can_be_unmounted_when_a_transfer_ends") {
        in_child("a_disk_can_be_unmounted_when_a_transfer_ends", None).unwrap();
        return;
    }
    let guest = Guest::new();
    for engine in common::engines() {
        for _ in 0..5 {
            let disk = match SmallDisk::mount() {
                Ok(disk) => disk,
                Err(reason) => {
                    common::skipped("unmounting", &reason);
                    return;
                }
            };
            let path = disk.0.path().join("snapshot");
            std::fs::File::create(&path).unwrap();
            let mut plan = guest.plan(Direction::Save, SnapshotSpec::path(&path), &guest.memory);
            plan.tuning.io_engine = engine;
            Transfer::new(plan).run().unwrap();
            disk.unmount().unwrap();
        }
    }
}
