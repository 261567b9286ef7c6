//! The bytes that a save reads of sparse memory, and the files that a transfer takes for one and the same.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use common::process::{in_child, is_child};
use common::spy::Spy;
use common::{Block, KIB, MIB, Page, Place, TestFile};
use mapped_ram_engine::file::{FileSource, PageArea};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::queue::{self, QueueOptions};
use mapped_ram_engine::{
    DirectIo, Direction, EngineError, ErrorKind, IoEngine, Plan, Region, Transfer, Tuning,
};

fn block(pages: usize, every: usize) -> Block {
    let mut block = Block {
        name: "ram".to_owned(),
        page_size: 4096,
        pages: vec![Page::Hole; pages],
        seed: 5,
        memory_offset: 0,
        pages_offset: MIB,
        bitmap_offset: 4096,
        store_zero_pages: false,
        memory_is_zero: true,
    };
    for page in block.pages.iter_mut().step_by(every) {
        *page = Page::Data;
    }
    block
}

fn memory(directory: &Path, block: &Block) -> TestFile {
    let memory = TestFile::new(directory, "memory", Place::Memfd);
    memory
        .file
        .set_len(block.memory_offset + block.length())
        .expect("a size");
    block.fill_memory(&memory.file);
    memory
}

fn plan(direction: Direction, snapshot: &TestFile, regions: Vec<Region>) -> Plan {
    Plan {
        tuning: Tuning {
            channels: Some(2),
            queue_depth: 4,
            ..Tuning::default()
        },
        ..Plan::new(direction, snapshot.snapshot(), regions)
    }
}

/// Counts the bytes that this process has read so far.
fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("the process's numbers");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.and_then(|count| count.parse().ok()).expect("a number")
}

/// A load from a mapping of such memory would be a SIGBUS.
#[test]
fn memory_cut_short_while_it_is_saved_is_an_error() {
    for engine in common::engines() {
        for left in [0, 4096, 5 * MIB + 8192] {
            let directory = tempfile::tempdir().unwrap();
            let block = block(8 * 256, 1);
            let memory = memory(directory.path(), &block);
            let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
            let region = block.region(MemorySpec::File(memory.source()));
            let cut = memory.file.try_clone().unwrap();
            let spy = Spy::new(move |number| {
                if number == 3 {
                    cut.set_len(left).unwrap();
                }
            });
            let save = Transfer::new(plan(Direction::Save, &snapshot, vec![region]));
            let error = spy.run(save, engine).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
            assert_eq!(error.path(), Some(memory.source().name().as_str()), "{error}");
        }
    }
}

/// The look at memory as it lies must not fill its holes, nor must the save of what is between them.
#[test]
fn a_save_leaves_the_holes_of_memory_alone() {
    for engine in common::engines() {
        for pages in [vec![Page::Data; 256], vec![Page::Zero; 256]] {
            let directory = tempfile::tempdir().unwrap();
            let mut block = block(8 * 256, 3);
            block.pages[512..768].copy_from_slice(&pages);
            let memory = memory(directory.path(), &block);
            let range = 0..block.length();
            let before = common::data_units(&memory.file, range.clone());
            let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
            let region = block.region(MemorySpec::File(memory.source()));
            let save = plan(Direction::Save, &snapshot, vec![region]);
            Spy::default().run(Transfer::new(save), engine).unwrap();
            assert_eq!(common::data_units(&memory.file, range), before);
        }
    }
}

#[test]
fn holes_are_not_read() {
    if !is_child("holes_are_not_read") {
        in_child("holes_are_not_read", None).unwrap();
        return;
    }
    for engine in common::engines() {
        let directory = tempfile::tempdir().unwrap();
        let mut block = block(64 * 256, 256);
        // Blocks need not begin at a page of their file.
        block.memory_offset = 8192;
        let memory = memory(directory.path(), &block);
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        let region = block.region(MemorySpec::File(memory.source()));
        let mut save = plan(Direction::Save, &snapshot, vec![region]);
        save.tuning.io_engine = engine;
        let before = bytes_read();
        let report = Transfer::new(save).run().unwrap();
        let read = bytes_read() - before;
        assert_eq!((report.bytes, report.data_bytes), (block.length(), 64 * 4096));
        assert!(read < MIB, "{read} bytes were read for 256 KiB of data");
        let expected = TestFile::new(directory.path(), "expected", Place::Disk);
        common::naive::save(&memory.file, &expected.file, &block);
        common::assert_same("saved", &snapshot.contents(), &expected.contents());
    }
}

/// Channels make do with one buffer where one request is all that is in flight: not so past the page cache of a disk.
#[test]
fn threads_have_one_buffer_each_behind_the_page_cache() {
    let directory = tempfile::tempdir().unwrap();
    let block = block(512, 3);
    let memory = memory(directory.path(), &block);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let sink = TestFile::new(directory.path(), "sink", Place::Memfd);
    for (direction, file, direct_io) in [
        (Direction::Save, &memory, DirectIo::Off),
        (Direction::Load, &sink, DirectIo::Off),
        (Direction::Save, &memory, DirectIo::On),
        (Direction::Load, &sink, DirectIo::On),
    ] {
        let region = block.region(MemorySpec::File(file.source()));
        let mut plan = plan(direction, &snapshot, vec![region]);
        plan.tuning.request_size = common::size(64 * KIB);
        plan.tuning.direct_io = direct_io;
        let slots = Mutex::new(Vec::new());
        let factory = |count, file: &_, options: QueueOptions| {
            let (queues, state) = queue::make_queues(IoEngine::Threads, count, file, options)?;
            slots.lock().expect("no panic held it").push(state.slots);
            Ok((queues, state))
        };
        Transfer::new(plan).run_with(&factory).unwrap();
        let has_one = *slots.lock().unwrap() == [1];
        assert_eq!(has_one, direct_io == DirectIo::Off, "{direction:?}");
    }
    common::assert_same("loaded", &sink.contents(), &memory.contents());
}

fn refused(plan: Plan) -> EngineError {
    let error = Transfer::new(plan).run().expect_err("it is to be refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    error
}

#[test]
fn memory_that_is_the_snapshot_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let block = block(16, 2);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    block.fill_snapshot(&snapshot.file, false);
    let link = directory.path().join("link");
    std::fs::hard_link(directory.path().join("snapshot"), &link).unwrap();
    let before = snapshot.contents();
    for direction in [Direction::Save, Direction::Load] {
        for source in [
            FileSource::Path(link.clone()),
            FileSource::Fd(snapshot.file.as_raw_fd()),
        ] {
            let region = block.region(MemorySpec::File(source));
            let error = refused(plan(direction, &snapshot, vec![region]));
            assert!(
                error.message().contains("block ram is the snapshot file itself"),
                "{error}"
            );
        }
    }
    common::assert_same("untouched", &snapshot.contents(), &before);
}

#[test]
fn a_load_does_not_write_twice_to_the_same_memory() {
    let directory = tempfile::tempdir().unwrap();
    let first = block(16, 2);
    let second = Block {
        name: "vga".to_owned(),
        memory_offset: 15 * 4096,
        pages_offset: 2 * MIB,
        bitmap_offset: 8192,
        ..first.clone()
    };
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    first.fill_snapshot(&snapshot.file, false);
    second.fill_snapshot(&snapshot.file, false);
    let path = directory.path().join("sink");
    let sink = File::create_new(&path).unwrap();
    let other = directory.path().join("other");
    std::os::unix::fs::symlink(&path, &other).unwrap();
    let regions = |second: &Block| {
        vec![
            first.region(MemorySpec::File(FileSource::Path(path.clone()))),
            second.region(MemorySpec::File(FileSource::Path(other.clone()))),
        ]
    };
    let error = refused(plan(Direction::Load, &snapshot, regions(&second)));
    assert!(
        error
            .message()
            .contains("block ram (0..65536) overlaps the memory of block vga (61440..126976)"),
        "{error}"
    );
    assert_eq!(sink.metadata().unwrap().len(), 0, "it was not even grown");

    let beside = Block {
        memory_offset: 16 * 4096,
        ..second.clone()
    };
    Transfer::new(plan(Direction::Load, &snapshot, regions(&beside)))
        .run()
        .unwrap();
    // A save may read the same memory twice.
    sink.write_all_at(&[1], 0).unwrap();
    let twice = TestFile::new(directory.path(), "twice", Place::Disk);
    Transfer::new(plan(Direction::Save, &twice, regions(&second)))
        .run()
        .unwrap();
}

#[test]
fn buffers_that_are_too_large_together_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let block = block(16, 2);
    let memory = memory(directory.path(), &block);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let with = |channels, queue_depth, request_size: u64, engine| Plan {
        tuning: Tuning {
            channels,
            queue_depth,
            request_size: common::size(request_size),
            io_engine: engine,
            ..Tuning::default()
        },
        ..Plan::new(
            Direction::Save,
            snapshot.snapshot(),
            vec![block.region(MemorySpec::File(memory.source()))],
        )
    };
    let auto = IoEngine::Auto;
    for (channels, depth, request) in [(Some(64), 17, MIB), (Some(5), 255, MIB), (None, 256, 16 * MIB)] {
        let error = with(channels, depth, request, auto).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
        for words in [
            format!("channels ({})", channels.unwrap_or(8)),
            format!("queue depth ({depth})"),
            format!("request size ({request})"),
        ] {
            assert!(error.message().contains(&words), "{error}");
        }
    }
    with(Some(64), 16, MIB, auto).check().unwrap();
    with(Some(1), 63, 16 * MIB, auto).check().unwrap();
    with(Some(64), 256, 16 * MIB, IoEngine::Threads).check().unwrap();
}

/// The size of a sparse memory file decides about the bitmap's.
#[test]
fn a_bitmap_for_a_save_that_does_not_fit_into_memory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let memory = TestFile::new(directory.path(), "memory", Place::Memfd);
    let length = 1 << 62;
    memory.file.set_len(length).unwrap();
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let region = Region {
        area: PageArea {
            length,
            bitmap_offset: (1 << 62) + (2 << 30),
            page_size: 512,
            ..block(16, 2).area()
        },
        ..block(16, 2).region(MemorySpec::File(memory.source()))
    };
    let save = plan(Direction::Save, &snapshot, vec![region]);
    let error = Transfer::new(save).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
    assert!(
        error.message().contains("block ram does not fit in memory"),
        "{error}"
    );
    assert!(snapshot.contents().is_empty());
}
