//! The way that reads take where the caller leaves it open: by the state of real files in the page cache.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{MIB, skipped};
use mapped_ram_engine::compare::Right;
use mapped_ram_engine::file::{
    DirectState, FileSource, PageArea, PageCacheSource, SnapshotSource, SnapshotSpec, drop_page_cache,
    page_cache_state,
};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{
    ComparePlan, Compared, Comparison, DirectIo, Direction, IoEngine, Plan, Region, Report, Transfer,
};

/// Temporary files may be in memory elsewhere.
const DISK: &str = env!("CARGO_TARGET_TMPDIR");
const LENGTH: u64 = 32 * MIB;
const PAGE: u64 = 4096;

/// A snapshot of which the first half is set.
const AREA: PageArea = PageArea {
    pages_offset: MIB,
    bitmap_offset: PAGE,
    length: 2 * LENGTH,
    page_size: PAGE,
};

fn snapshot(directory: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let named = tempfile::NamedTempFile::new_in(directory)?;
    let file = named.as_file();
    file.set_len(AREA.pages_offset + AREA.length)?;
    let bits = usize::try_from(LENGTH / PAGE / 8).map_err(std::io::Error::other)?;
    file.write_all_at(&vec![0xff; bits], AREA.bitmap_offset)?;
    write_pages(file, LENGTH)?;
    Ok(named)
}

fn write_pages(file: &File, length: u64) -> std::io::Result<()> {
    let piece = vec![7; 1 << 20];
    (0..length / MIB).try_for_each(|index| file.write_all_at(&piece, AREA.pages_offset + index * MIB))
}

/// Reads bytes into the page cache, and nothing else.
fn read(file: &File, start: u64, length: u64) -> std::io::Result<()> {
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    rustix::fs::fadvise(&again, 0, None, rustix::fs::Advice::Random)?;
    let mut piece = vec![0; 1 << 16];
    for offset in (start..start + length).step_by(piece.len()) {
        again.read_exact_at(&mut piece, offset)?;
    }
    Ok(())
}

fn spec(source: FileSource) -> SnapshotSpec {
    SnapshotSpec {
        source: SnapshotSource::File(source),
        direct: None,
        name: String::new(),
    }
}

fn scan_of(source: FileSource) -> Plan {
    let region = Region {
        name: "ram".to_owned(),
        memory: MemorySpec::None,
        memory_offset: 0,
        area: AREA,
        store_zero_pages: false,
        only: None,
        memory_is_zero: false,
    };
    Plan::new(Direction::Scan, spec(source), vec![region])
}

/// The bytes that a scan took through the page cache, if it was clear of the file before, and the report.
fn scan(path: &Path, direct_io: DirectIo) -> Report {
    let mut plan = scan_of(FileSource::Path(path.to_owned()));
    plan.tuning.direct_io = direct_io;
    let report = Transfer::new(plan).run().expect("the file can be read");
    assert_eq!(report.data_bytes, LENGTH);
    report
}

fn cached(path: &Path) -> u64 {
    let range = AREA.pages_offset..AREA.pages_offset + AREA.length;
    let state = page_cache_state(&FileSource::Path(path.to_owned()), range).expect("the file is there");
    state.map_or(0, |state| state.cached)
}

/// Says whether a test can tell anything here.
fn is_known(path: &Path) -> bool {
    let state = page_cache_state(&FileSource::Path(path.to_owned()), 0..1).expect("the file is there");
    let is_known = state.is_some_and(|state| state.source == PageCacheSource::Cachestat)
        && mapped_ram_engine::file::source::open_direct(path, false).is_ok();
    if !is_known {
        skipped("ways", "no cachestat(2), or no direct I/O");
    }
    is_known
}

fn assert_way(state: &DirectState, on: bool, words: &str) {
    assert_eq!(state.on, on, "{}", state.why);
    assert!(state.why.contains(words), "{}", state.why);
}

#[test]
fn a_file_on_the_disk_is_read_past_the_page_cache() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    drop_page_cache(&FileSource::Path(file.path().to_owned())).unwrap();
    let report = scan(file.path(), DirectIo::Auto);
    assert_way(&report.direct_io, true, "0 % of its pages are in the page cache");
    assert_eq!(cached(file.path()), 0);
}

#[test]
fn a_file_in_the_page_cache_is_read_from_there() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    // Whether the system has begun to write it back does not matter.
    let report = scan(file.path(), DirectIo::Auto);
    assert_way(
        &report.direct_io,
        false,
        "100 % of its pages are in the page cache",
    );
    file.as_file().sync_all().unwrap();
    let report = scan(file.path(), DirectIo::Auto);
    assert_way(
        &report.direct_io,
        false,
        "100 % of its pages are in the page cache",
    );
    assert!(!report.direct_io.why.contains("not yet"));
}

#[test]
fn a_file_that_was_just_written_is_said_to_be() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    // Another process may make the system write everything back, but not each time.
    let is_said = (0..20).any(|_| {
        write_pages(file.as_file(), LENGTH).unwrap();
        let DirectState { on, why } = scan(file.path(), DirectIo::Auto).direct_io;
        assert!(!on);
        why.contains("% not yet on the disk")
    });
    assert!(is_said);
}

#[test]
fn a_file_that_is_cached_in_part_is_read_past_the_page_cache() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    drop_page_cache(&FileSource::Path(file.path().to_owned())).unwrap();
    read(file.as_file(), AREA.pages_offset, LENGTH / 2).unwrap();
    let before = cached(file.path());
    assert!((LENGTH / 2..LENGTH / 4 * 3).contains(&before), "{before}");
    let report = scan(file.path(), DirectIo::Auto);
    assert_way(&report.direct_io, true, "% of its pages are in the page cache");
    assert!(!report.direct_io.why.contains("buffered"));
    // A direct read leaves clean pages in the page cache as they are.
    assert_eq!(cached(file.path()), before);
}

#[test]
fn a_part_that_is_not_on_the_disk_yet_is_read_from_the_page_cache() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    drop_page_cache(&FileSource::Path(file.path().to_owned())).unwrap();
    // Another process may make the system write everything back, but not each time.
    let is_said = (0..20).any(|_| {
        write_pages(file.as_file(), LENGTH / 4).unwrap();
        let DirectState { on, why } = scan(file.path(), DirectIo::Auto).direct_io;
        assert!(on, "{why}");
        why.contains("not yet on the disk, and reads of those are buffered")
    });
    assert!(is_said);
    assert!(cached(file.path()) <= LENGTH / 4 + 2 * MIB);
}

#[test]
fn what_the_caller_asks_for_is_what_happens() {
    let file = snapshot(DISK.as_ref()).unwrap();
    if !is_known(file.path()) {
        return;
    }
    let on = scan(file.path(), DirectIo::On).direct_io;
    assert_way(&on, true, "accepts O_DIRECT");
    assert!(!on.why.contains("page cache"), "{}", on.why);
    drop_page_cache(&FileSource::Path(file.path().to_owned())).unwrap();
    assert_way(
        &scan(file.path(), DirectIo::Off).direct_io,
        false,
        "turned off by the caller",
    );
}

#[test]
fn a_file_without_a_name_is_looked_at_too() {
    let file = tempfile::tempfile_in(DISK).unwrap();
    file.set_len(AREA.pages_offset + AREA.length).unwrap();
    file.write_all_at(&[0xff; 1024], AREA.bitmap_offset).unwrap();
    write_pages(&file, LENGTH).unwrap();
    let report = Transfer::new(scan_of(FileSource::Fd(file.as_raw_fd())))
        .run()
        .unwrap();
    assert_eq!(report.data_bytes, LENGTH);
    if is_known(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))) {
        assert_way(
            &report.direct_io,
            false,
            "100 % of its pages are in the page cache",
        );
    }
}

#[test]
fn a_file_in_memory_has_a_channel_for_each_core() {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return;
    }
    let file = snapshot(memory).unwrap();
    let report = scan(file.path(), DirectIo::Auto);
    let cores = std::thread::available_parallelism().unwrap().get().min(8);
    assert_eq!(report.channels, cores);
    let mut plan = scan_of(FileSource::Path(file.path().to_owned()));
    plan.tuning.io_engine = IoEngine::Threads;
    assert_eq!(Transfer::new(plan).run().unwrap().channels, cores);
}

#[test]
fn each_side_of_a_comparison_goes_its_own_way() {
    let (left, right) = (snapshot(DISK.as_ref()).unwrap(), snapshot(DISK.as_ref()).unwrap());
    if !is_known(left.path()) {
        return;
    }
    drop_page_cache(&FileSource::Path(left.path().to_owned())).unwrap();
    let block = Compared {
        name: "ram".to_owned(),
        left: AREA,
        right: Right::Pages(AREA),
    };
    let spec = |file: &tempfile::NamedTempFile| spec(FileSource::Path(file.path().to_owned()));
    let plan = ComparePlan::new(spec(&left), Some(spec(&right)), vec![block]);
    let outcome = Comparison::new(plan).run().unwrap();
    let why = &outcome.report.direct_io.why;
    assert!(!outcome.report.direct_io.on);
    assert!(why.contains("0 % of its pages are in the page cache"), "{why}");
    assert!(why.contains("100 % of its pages are in the page cache"), "{why}");
    assert_eq!(cached(left.path()), 0);
}
