//! Guest memory in huge pages: the engine reads it with read(2), writes it through /proc/self/mem, and takes too few
//! pages for an error.
//!
//! The test needs root, to have some huge pages and to mount hugetlbfs.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use common::process::{Holdings, in_child, is_child};
use common::spy::Spy;
use common::{Block, KIB, MIB, Page, Pattern, Place, TestFile};
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::memory::{MemorySpec, data_ranges};
use mapped_ram_engine::{Direction, ErrorKind, Plan, Region, Transfer, Tuning};
use rustix::fs::{FallocateFlags, FlockOperation, flock};
use rustix::io::Errno;

const HUGE: u64 = 2 * MIB;
const WANTED: u64 = 8;
const POOL: &str = "/proc/sys/vm/nr_hugepages";
const OVERCOMMIT: &str = "/proc/sys/vm/nr_overcommit_hugepages";

/// Huge pages and a place for files of them, until it is dropped.
struct HugePages {
    pool_before: u64,
    mounted: Option<tempfile::TempDir>,
    /// Locked: two runs at once would restore each other's numbers.
    _turn: File,
}

impl HugePages {
    fn get() -> Result<Self, String> {
        if meminfo("Hugepagesize")? != HUGE / 1024 {
            return Err("huge pages are not of 2 MiB here".to_owned());
        }
        // Any file that all runs have in common would do; inodes below /proc come and go.
        let turn = File::open(std::env::temp_dir()).map_err(|error| error.to_string())?;
        flock(&turn, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        let pool_before = pool(POOL)?;
        let mut this = Self {
            pool_before,
            mounted: None,
            _turn: turn,
        };
        fs::write(POOL, (pool_before + WANTED).to_string()).map_err(|error| format!("{POOL}: {error}"))?;
        if pool(POOL)? < pool_before + WANTED {
            return Err("the kernel finds no memory for huge pages".to_owned());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "hugetlbfs", "mapped-ram-test"])
            .arg(directory.path())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        this.mounted = Some(directory);
        Ok(this)
    }

    fn path(&self) -> &Path {
        self.mounted.as_ref().expect("it is mounted").path()
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Some(directory) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(directory.path()).output();
        }
        let _ = fs::write(POOL, self.pool_before.to_string());
    }
}

fn pool(path: &str) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    text.trim().parse().map_err(|_| format!("{path}: {text}"))
}

/// Reads a line of /proc/meminfo, in its own unit.
fn meminfo(name: &str) -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| format!("no {name} in /proc/meminfo"))
}

fn block(pattern: Pattern, length: u64, memory_offset: u64, memory_is_zero: bool) -> Block {
    Block {
        name: "ram".to_owned(),
        page_size: 4096,
        pages: pattern.pages(common::size(length / 4096), 64, 11),
        seed: 11,
        memory_offset,
        pages_offset: MIB,
        bitmap_offset: 4096,
        store_zero_pages: false,
        memory_is_zero,
    }
}

fn plan(direction: Direction, snapshot: &TestFile, region: Region) -> Plan {
    Plan {
        tuning: Tuning {
            channels: Some(3),
            queue_depth: 4,
            request_size: common::size(256 * KIB),
            ..Tuning::default()
        },
        ..Plan::new(direction, snapshot.snapshot(), vec![region])
    }
}

/// Makes a snapshot on disk with the block's pages, and stale bytes below the clear bits.
fn snapshot(directory: &Path, name: &str, block: &Block) -> TestFile {
    let file = TestFile::new(directory, name, Place::Disk);
    block.fill_snapshot(&file.file, true);
    file
}

/// Loads into huge pages that are fresh, then into the same that are not, and saves them again.
fn round_trip(directory: &Path, memory: &FileSource, look: &File) {
    let length = 4 * HUGE + 300 * KIB;
    for engine in common::engines() {
        for (memory_offset, pattern) in [
            (0, Pattern::AllData),
            (0, Pattern::Runs),
            (HUGE - 8192, Pattern::Random),
            (12288, Pattern::AllHoles),
            (4096, Pattern::Sparse),
        ] {
            let block = block(pattern, length, memory_offset, false);
            let source = snapshot(directory, "source", &block);
            let expected = TestFile::new(directory, "expected", Place::Memfd);
            if look.metadata().expect("its size").len() > 0 {
                // An earlier turn left something there, around the block too.
                std::io::copy(
                    &mut &common::contents(look)[..],
                    &mut expected.file.try_clone().expect("a descriptor"),
                )
                .expect("a copy");
            }
            common::naive::load(&source.file, &expected.file, &block);
            let mut load = plan(
                Direction::Load,
                &source,
                block.region(MemorySpec::File(memory.clone())),
            );
            load.tuning.io_engine = engine;
            Transfer::new(load).run().expect("a load into huge pages");
            let found = common::contents(look);
            assert_eq!(found.len() as u64 % HUGE, 0, "whole huge pages");
            let expected = expected.contents();
            common::assert_same("huge pages", &found[..expected.len()], &expected);

            let saved = TestFile::new(directory, "saved", Place::Disk);
            let oracle = TestFile::new(directory, "oracle", Place::Disk);
            common::naive::save(look, &oracle.file, &block);
            let mut save = plan(
                Direction::Save,
                &saved,
                block.region(MemorySpec::File(memory.clone())),
            );
            save.tuning.io_engine = engine;
            Transfer::new(save).run().expect("a save of huge pages");
            // Gaps that are filled read as zeros, as the holes of a new file do.
            common::assert_same("saved", &saved.contents(), &oracle.contents());
            for name in ["source", "saved", "oracle"] {
                fs::remove_file(directory.join(name)).expect("the file goes");
            }
        }
    }
}

fn empty_file(path: PathBuf) -> (FileSource, File) {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("a file of huge pages");
    (FileSource::Path(path), file)
}

/// Clear pages of fresh memory take no huge pages.
fn holes_stay_holes(directory: &Path, huge: &HugePages) {
    let (source, look) = empty_file(huge.path().join("sparse"));
    let mut block = block(Pattern::AllHoles, 4 * HUGE, 0, true);
    block.pages[common::size(2 * HUGE / 4096) + 5] = Page::Data;
    let snapshot = snapshot(directory, "sparse", &block);
    Transfer::new(plan(
        Direction::Load,
        &snapshot,
        block.region(MemorySpec::File(source.clone())),
    ))
    .run()
    .expect("a load of one page");
    assert_eq!(
        look.metadata().expect("its size").blocks() * 512,
        HUGE,
        "one huge page"
    );
    fs::remove_file(source.path().expect("its path")).expect("the file goes");
}

fn too_few(directory: &Path, huge: &HugePages) {
    let most = pool(POOL).expect("huge pages") + pool(OVERCOMMIT).expect("huge pages on demand");
    let (source, look) = empty_file(huge.path().join("large"));
    let block = block(Pattern::Single, (most + 1) * HUGE, 0, true);
    let snapshot = snapshot(directory, "large", &block);
    for engine in common::engines() {
        let before = Holdings::idle();
        let mut load = plan(
            Direction::Load,
            &snapshot,
            block.region(MemorySpec::File(source.clone())),
        );
        load.tuning.io_engine = engine;
        let error = Transfer::new(load).run().expect_err("there are too few");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.path(), Some(source.name().as_str()));
        assert!(
            error
                .message()
                .contains(&format!("{} bytes of huge pages", block.length())),
            "{error}"
        );
        assert_eq!(
            error.io_source().and_then(Errno::from_io_error),
            Some(Errno::NOMEM),
            "{error}"
        );
        before.assert_again("a load with too few huge pages");
    }
    assert_eq!(
        look.metadata().expect("its size").blocks(),
        0,
        "nothing was written"
    );
    fs::remove_file(source.path().expect("its path")).expect("the file goes");
}

/// A store into such a mapping would be a SIGBUS.
fn truncated(directory: &Path, huge: &HugePages) {
    for engine in common::engines() {
        let (source, look) = empty_file(huge.path().join("cut"));
        let block = block(Pattern::AllData, 2 * HUGE, 0, true);
        let snapshot = snapshot(directory, "cut", &block);
        let load = plan(
            Direction::Load,
            &snapshot,
            block.region(MemorySpec::File(source.clone())),
        );
        let error = Spy::default()
            .run_after(Transfer::new(load), engine, || {
                look.set_len(HUGE).expect("a new size");
            })
            .expect_err("half of the memory is gone");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.path(), Some(source.name().as_str()));
        assert!(error.offset().is_some_and(|offset| offset >= HUGE), "{error}");
        assert_eq!(
            error.io_source().and_then(Errno::from_io_error),
            Some(Errno::FAULT),
            "{error}"
        );
        fs::remove_file(source.path().expect("its path")).expect("the file goes");
        fs::remove_file(directory.join("cut")).expect("the file goes");
    }
}

/// A load from such a mapping would be a SIGBUS.
fn truncated_while_saved(directory: &Path, huge: &HugePages) {
    for engine in common::engines() {
        for left in [0, HUGE] {
            let (source, look) = empty_file(huge.path().join("cut"));
            let block = block(Pattern::AllData, 2 * HUGE, 0, true);
            let loaded = snapshot(directory, "cut", &block);
            let region = || block.region(MemorySpec::File(source.clone()));
            Transfer::new(plan(Direction::Load, &loaded, region()))
                .run()
                .expect("memory to save");
            let saved = TestFile::new(directory, "saved", Place::Disk);
            let cut = look.try_clone().expect("a descriptor");
            let spy = Spy::new(move |number| {
                if number == 1 {
                    cut.set_len(left).expect("a new size");
                }
            });
            let error = spy
                .run(Transfer::new(plan(Direction::Save, &saved, region())), engine)
                .expect_err("memory is gone");
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
            assert_eq!(error.path(), Some(source.name().as_str()));
            fs::remove_file(source.path().expect("its path")).expect("the file goes");
            for name in ["cut", "saved"] {
                fs::remove_file(directory.join(name)).expect("the file goes");
            }
        }
    }
}

/// Pages that were zero when they were looked at, and are not when the pages beside them are written.
fn what_changes_later_is_not_below_a_clear_bit(directory: &Path, huge: &HugePages) {
    for engine in common::engines() {
        let (source, _look) = empty_file(huge.path().join("live"));
        let mut block = block(Pattern::AllData, 2 * HUGE, 0, true);
        // One page in each window holds zeros.
        for page in block.pages.iter_mut().skip(5).step_by(64) {
            *page = Page::Zero;
        }
        let loaded = snapshot(directory, "live", &block);
        let region = || block.region(MemorySpec::File(source.clone()));
        Transfer::new(plan(Direction::Load, &loaded, region()))
            .run()
            .expect("memory to save");
        let zeros: Vec<u64> = (0..block.length() / 4096).skip(5).step_by(64).collect();
        // Writes through a second load, which the engine does: hugetlbfs has no write(2).
        let mut other = block.clone();
        for page in &zeros {
            other.pages[common::size(*page)] = Page::Data;
        }
        let changed = snapshot(directory, "changed", &other);
        let change = plan(
            Direction::Load,
            &changed,
            other.region(MemorySpec::File(source.clone())),
        );
        let change = Mutex::new(Some(Transfer::new(change)));
        let spy = Spy::new(move |_| {
            let change = change.lock().expect("no panic held it").take();
            if let Some(change) = change {
                change.run().expect("memory changes");
            }
        });
        let saved = TestFile::new(directory, "saved", Place::Disk);
        let mut save = plan(Direction::Save, &saved, region());
        save.tuning.channels = Some(1);
        spy.run(Transfer::new(save), engine)
            .expect("a save of memory that changes");
        assert!(spy.lent() > 0);
        assert!(!common::naive::is_set(&saved.file, &block, zeros[0]));
        for page in zeros {
            if !common::naive::is_set(&saved.file, &block, page) {
                let mut found = [1; 4096];
                saved
                    .file
                    .read_exact_at(&mut found, block.pages_offset + page * 4096)
                    .expect("a page of the snapshot");
                assert!(found.iter().all(|byte| *byte == 0), "page {page}");
            }
        }
        fs::remove_file(source.path().expect("its path")).expect("the file goes");
        for name in ["live", "changed", "saved"] {
            fs::remove_file(directory.join(name)).expect("the file goes");
        }
    }
}

/// A save of memory that is partly holes takes no huge page for a hole.
fn holes_are_not_filled_by_a_save(directory: &Path, huge: &HugePages) {
    let (source, look) = empty_file(huge.path().join("holes"));
    let mut block = block(Pattern::AllHoles, 4 * HUGE, 0, true);
    let pages = common::size(HUGE / 4096);
    block.pages[2 * pages..3 * pages].fill(Page::Data);
    let loaded = snapshot(directory, "holes", &block);
    let region = || block.region(MemorySpec::File(source.clone()));
    Transfer::new(plan(Direction::Load, &loaded, region()))
        .run()
        .expect("memory to save");
    let saved = TestFile::new(directory, "saved", Place::Disk);
    let report = Transfer::new(plan(Direction::Save, &saved, region()))
        .run()
        .expect("a save of memory with holes");
    assert_eq!(report.data_bytes, HUGE);
    let taken = look.metadata().expect("its size").blocks() * 512;
    assert_eq!(taken, HUGE, "one huge page");
    fs::remove_file(source.path().expect("its path")).expect("the file goes");
    for name in ["holes", "saved"] {
        fs::remove_file(directory.join(name)).expect("the file goes");
    }
}

/// The pages that a file has are found, and no others are made, whatever this process has mapped before.
fn holes_are_not_filled_by_a_look(directory: &Path, huge: &HugePages) {
    let (source, look) = empty_file(huge.path().join("holes"));
    let mut block = block(Pattern::AllHoles, 6 * HUGE, 0, true);
    let pages = common::size(HUGE / 4096);
    block.pages[pages + 7] = Page::Data;
    block.pages[3 * pages..4 * pages + 1].fill(Page::Data);
    let loaded = snapshot(directory, "holes", &block);
    Transfer::new(plan(
        Direction::Load,
        &loaded,
        block.region(MemorySpec::File(source.clone())),
    ))
    .run()
    .expect("memory to look at");
    // A page of zeros exists, and reading alone does not tell it from a hole.
    rustix::fs::fallocate(&look, FallocateFlags::empty(), 5 * HUGE, HUGE).expect("a huge page");
    let free = meminfo("HugePages_Free").expect("the free pages");
    for round in 0..3 {
        let found = data_ranges(&source, 0, 6 * HUGE, 4096).expect("the pages that exist");
        assert_eq!(found, [HUGE..2 * HUGE, 3 * HUGE..6 * HUGE], "round {round}");
        let part = data_ranges(&source, HUGE + 8192, 3 * HUGE, 65_536).expect("those of a part");
        assert_eq!(part, [0..HUGE, 2 * HUGE - 65_536..3 * HUGE], "round {round}");
        let memory = common::contents(&look);
        assert_eq!(memory.len() as u64, 6 * HUGE);
    }
    assert_eq!(meminfo("HugePages_Free"), Ok(free), "no page was made");
    look.set_len(2 * HUGE).expect("a new size");
    let one = data_ranges(&source, 0, 2 * HUGE, 1).expect("one page");
    assert_eq!(one, std::slice::from_ref(&(HUGE..2 * HUGE)));
    look.set_len(HUGE).expect("a new size");
    assert!(data_ranges(&source, 0, HUGE, 1).expect("no page").is_empty());
    fs::remove_file(source.path().expect("its path")).expect("the file goes");
    fs::remove_file(directory.join("holes")).expect("the file goes");
}

/// One test in a process of its own: all of it shares the system's pool of huge pages.
#[test]
fn memory_in_huge_pages() {
    if !is_child("memory_in_huge_pages") {
        in_child("memory_in_huge_pages", None).unwrap();
        return;
    }
    let huge = match HugePages::get() {
        Ok(huge) => huge,
        Err(reason) => {
            common::skipped("memory in huge pages", &reason);
            return;
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let before = Holdings::idle();

    let (source, look) = empty_file(huge.path().join("ram"));
    round_trip(directory.path(), &source, &look);
    fs::remove_file(source.path().unwrap()).unwrap();
    drop(look);

    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::HUGETLB;
    let memfd = File::from(rustix::fs::memfd_create("ram", flags).unwrap());
    round_trip(directory.path(), &FileSource::Fd(memfd.as_raw_fd()), &memfd);
    drop(memfd);

    holes_stay_holes(directory.path(), &huge);
    too_few(directory.path(), &huge);
    truncated(directory.path(), &huge);
    truncated_while_saved(directory.path(), &huge);
    what_changes_later_is_not_below_a_clear_bit(directory.path(), &huge);
    holes_are_not_filled_by_a_save(directory.path(), &huge);
    holes_are_not_filled_by_a_look(directory.path(), &huge);
    before.assert_again("transfers of huge pages");
}
