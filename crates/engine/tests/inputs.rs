//! Plans that cannot be carried out, and files that are not what they should be. The engine refuses each with an error
//! that says where, what was expected and what was found, and moves nothing.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::spy::Spy;
use common::{Block, KIB, MIB, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSource, SnapshotSpec, source};
use mapped_ram_engine::memory::{ByteMemory, MemorySpec};
use mapped_ram_engine::{
    DirectIo, Direction, EngineError, ErrorKind, IoEngine, Plan, Region, Transfer, Tuning,
};

const PAGES: usize = 256;
const LENGTH: u64 = PAGES as u64 * 4096;
const PAGES_OFFSET: u64 = 64 * KIB;
const BITMAP_OFFSET: u64 = 4 * KIB;

fn block() -> Block {
    Block {
        name: "ram".to_owned(),
        page_size: 4096,
        pages: Pattern::AllData.pages(PAGES, 1, 0),
        seed: 5,
        memory_offset: 0,
        pages_offset: PAGES_OFFSET,
        bitmap_offset: BITMAP_OFFSET,
        store_zero_pages: false,
        memory_is_zero: true,
    }
}

/// A guest's memory, a snapshot of it and empty memory.
struct Files {
    directory: tempfile::TempDir,
    memory: TestMemory,
    snapshot: TestFile,
    empty: TestMemory,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let block = block();
        let memory = TestFile::new(directory.path(), "memory", Place::Disk);
        memory.file.set_len(LENGTH).expect("a size");
        block.fill_memory(&memory.file);
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        block.fill_snapshot(&snapshot.file, false);
        Self {
            memory: TestMemory::new(memory),
            snapshot,
            empty: TestMemory::new(TestFile::new(directory.path(), "empty", Place::Disk)),
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn plan(&self, direction: Direction) -> Plan {
        let memory = match direction {
            Direction::Save => &self.memory,
            Direction::Load | Direction::Scan => &self.empty,
        };
        let region = block().region(memory.spec());
        let snapshot = match direction {
            Direction::Save => SnapshotSpec::path(self.fresh()),
            Direction::Load | Direction::Scan => self.snapshot.snapshot(),
        };
        plan(direction, snapshot, region)
    }

    /// Makes a file to save to.
    fn fresh(&self) -> std::path::PathBuf {
        let path = self.path().join("fresh");
        File::create(&path).expect("a new file");
        path
    }
}

fn plan(direction: Direction, snapshot: SnapshotSpec, region: Region) -> Plan {
    Plan {
        tuning: Tuning {
            request_size: common::size(64 * KIB),
            channels: Some(2),
            queue_depth: 4,
            ..Tuning::default()
        },
        ..Plan::new(direction, snapshot, vec![region])
    }
}

/// Runs a plan that must fail.
fn refused(plan: Plan) -> EngineError {
    let what = format!("{plan:?}");
    match Transfer::new(plan).run() {
        Ok(report) => unexpected(&what, &format!("{report:?}")),
        Err(error) => error,
    }
}

#[expect(clippy::panic, reason = "it is how a test fails")]
fn unexpected<T>(what: &str, found: &dyn std::fmt::Display) -> T {
    panic!("{what}: {found}")
}

/// Checks the error's kind, and that its text and its cause's have all of `words`.
fn assert_says(error: &EngineError, kind: ErrorKind, words: &[&str]) {
    let text = match error.io_source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "expected {word:?} in: {text}");
    }
}

fn both() -> [Direction; 2] {
    [Direction::Save, Direction::Load]
}

// ---- numbers ----

#[test]
fn a_page_size_that_is_none_is_refused() {
    let files = Files::new();
    for direction in both() {
        for page_size in [0, 1, 3, 128, 4095, 131_072, 1 << 20, u64::MAX] {
            let mut plan = files.plan(direction);
            plan.regions[0].area.page_size = page_size;
            assert_says(
                &refused(plan),
                ErrorKind::InvalidArgument,
                &[
                    "page size: expected a power of two from 256 to 65536",
                    &format!("found {page_size}"),
                ],
            );
        }
    }
}

#[test]
fn blocks_of_different_page_sizes_are_refused() {
    let files = Files::new();
    let mut plan = files.plan(Direction::Save);
    plan.regions.push(Region {
        name: "rom".to_owned(),
        area: PageArea {
            page_size: 8192,
            ..block().area()
        },
        ..block().region(files.memory.spec())
    });
    assert_says(
        &refused(plan),
        ErrorKind::InvalidArgument,
        &["block rom: expected the page size 4096 of block ram, found 8192"],
    );
}

#[test]
fn counts_out_of_range_are_refused() {
    let files = Files::new();
    for direction in both() {
        for channels in [0, 65, usize::MAX] {
            let mut plan = files.plan(direction);
            plan.tuning.channels = Some(channels);
            assert_says(
                &refused(plan),
                ErrorKind::OutOfRange,
                &["channels: expected 1 to 64", &format!("found {channels}")],
            );
        }
        for depth in [0, 257, usize::MAX] {
            let mut plan = files.plan(direction);
            plan.tuning.queue_depth = depth;
            assert_says(
                &refused(plan),
                ErrorKind::OutOfRange,
                &["queue depth: expected 1 to 256", &format!("found {depth}")],
            );
        }
        for request_size in [0, 512, 4095, (16 << 20) + 4096, usize::MAX] {
            let mut plan = files.plan(direction);
            plan.tuning.request_size = request_size;
            assert_says(
                &refused(plan),
                ErrorKind::OutOfRange,
                &[
                    "request size: expected 4096 to 16777216",
                    &format!("found {request_size}"),
                ],
            );
        }
        let mut plan = files.plan(direction);
        plan.tuning.request_size = 4096 + 512;
        assert_says(
            &refused(plan),
            ErrorKind::InvalidArgument,
            &["request size: expected a multiple of the page size 4096, found 4608"],
        );
    }
}

#[test]
fn a_length_of_broken_pages_is_refused() {
    let files = Files::new();
    for direction in both() {
        for length in [1, 4095, LENGTH - 512, LENGTH + 1, u64::MAX] {
            let mut plan = files.plan(direction);
            plan.regions[0].area.length = length;
            assert_says(
                &refused(plan),
                ErrorKind::InvalidArgument,
                &[
                    "block ram",
                    "expected a length that is a multiple of the page size 4096",
                    &format!("found {length}"),
                ],
            );
        }
    }
}

#[test]
fn gigantic_numbers_are_refused_without_wrapping() {
    let files = Files::new();
    let last = u64::MAX - 4095;
    let too_much = [u64::MAX, last, (1 << 63) - 4096, 1 << 63];
    for direction in both() {
        for value in too_much {
            for what in ["pages", "bitmap", "memory"] {
                let mut plan = files.plan(direction);
                let region = &mut plan.regions[0];
                match what {
                    "pages" => region.area.pages_offset = value,
                    "bitmap" => region.area.bitmap_offset = value,
                    _ => region.memory_offset = value,
                }
                if what == "bitmap" && value == (1 << 63) - 4096 {
                    // The bitmap's 32 bytes still fit below the largest offset.
                    continue;
                }
                assert_says(
                    &refused(plan),
                    ErrorKind::OutOfRange,
                    &[
                        &format!("block ram: its {what} end beyond the largest file offset"),
                        &format!("expected at most {}", i64::MAX),
                        &format!("at {value}"),
                    ],
                );
            }
        }
        for length in [last, 1 << 63] {
            let mut plan = files.plan(direction);
            plan.regions[0].area.length = length;
            assert_says(
                &refused(plan),
                ErrorKind::OutOfRange,
                &["block ram", &format!("found {length}")],
            );
        }
    }
}

/// The lengths of these blocks add up to more than 64 bits hold.
#[test]
fn gigantic_sums_are_refused_without_wrapping() {
    let files = Files::new();
    let mut plan = files.plan(Direction::Load);
    plan.regions = (0..8)
        .map(|index| Region {
            name: format!("block{index}"),
            area: PageArea {
                length: 1 << 62,
                pages_offset: MIB,
                bitmap_offset: 4096,
                page_size: 4096,
            },
            ..block().region(files.empty.spec())
        })
        .collect();
    assert_says(
        &refused(plan),
        ErrorKind::InvalidArgument,
        &["overlap", "block0", "block1"],
    );
}

#[test]
fn overlapping_parts_are_refused() {
    let files = Files::new();
    let end = PAGES_OFFSET + LENGTH;
    let overlaps = [
        // The first two numbers are the pages and the bitmap of a second block.
        (
            PAGES_OFFSET,
            end + MIB,
            "the pages of block ram",
            "the pages of block rom",
        ),
        (
            end - 4096,
            end + MIB,
            "the pages of block ram",
            "the pages of block rom",
        ),
        (0, end + MIB, "the pages of block rom", "the bitmap of block ram"),
        (
            end,
            BITMAP_OFFSET,
            "the bitmap of block ram",
            "the bitmap of block rom",
        ),
        (
            end,
            BITMAP_OFFSET + 31,
            "the bitmap of block ram",
            "the bitmap of block rom",
        ),
        (
            end,
            PAGES_OFFSET + 8,
            "the pages of block ram",
            "the bitmap of block rom",
        ),
        (
            end,
            end + LENGTH - 1,
            "the pages of block rom",
            "the bitmap of block rom",
        ),
    ];
    for direction in both() {
        for (pages_offset, bitmap_offset, first, second) in overlaps {
            let mut plan = files.plan(direction);
            plan.regions.push(Region {
                name: "rom".to_owned(),
                area: PageArea {
                    pages_offset,
                    bitmap_offset,
                    ..block().area()
                },
                ..block().region(files.memory.spec())
            });
            let error = refused(plan);
            let (left, right) = (
                first.trim_start_matches("the "),
                second.trim_start_matches("the "),
            );
            assert_says(&error, ErrorKind::InvalidArgument, &["overlap", left, right]);
        }
    }
}

#[test]
fn parts_that_touch_do_not_overlap() {
    let files = Files::new();
    let mut plan = files.plan(Direction::Save);
    plan.regions[0].area.pages_offset = BITMAP_OFFSET + 32;
    plan.regions.push(Region {
        name: "rom".to_owned(),
        area: PageArea {
            pages_offset: BITMAP_OFFSET + 32 + LENGTH,
            bitmap_offset: BITMAP_OFFSET - 32,
            ..block().area()
        },
        ..block().region(files.memory.spec())
    });
    plan.regions.push(Region {
        name: "empty".to_owned(),
        area: PageArea {
            length: 0,
            pages_offset: PAGES_OFFSET,
            bitmap_offset: PAGES_OFFSET,
            page_size: 4096,
        },
        ..block().region(files.memory.spec())
    });
    Transfer::new(plan).run().unwrap();
}

// ---- sizes that lie ----

#[test]
fn a_bitmap_beyond_the_file_is_refused_without_allocating_for_it() {
    let files = Files::new();
    let size = files.snapshot.file.metadata().unwrap().len();
    // The bitmaps have 32 GiB, end just behind the file, and start behind it.
    for (length, bitmap_offset) in [(1 << 50, BITMAP_OFFSET), (LENGTH, size - 31), (LENGTH, 1 << 40)] {
        let mut plan = files.plan(Direction::Load);
        plan.regions[0].area.length = length;
        plan.regions[0].area.bitmap_offset = bitmap_offset;
        plan.regions[0].area.pages_offset = size + (1 << 41);
        let needed = bitmap_offset + length / 4096 / 8;
        assert_says(
            &refused(plan),
            ErrorKind::Truncated,
            &[
                &files.snapshot.source().name(),
                "bitmap of block ram",
                &format!("expected a size of at least {needed}"),
                &format!("found {size}"),
            ],
        );
        assert_eq!(files.empty.contents().len(), 0, "the memory did not grow");
    }
}

/// A hole costs a liar nothing, so the file's size alone does not vouch for a length.
#[test]
fn a_bitmap_that_does_not_fit_into_memory_is_an_error() {
    let files = Files::new();
    let size = 8 << 40;
    if files.snapshot.file.set_len(size).is_err() {
        common::skipped("a sparse bitmap", "the filesystem has no files of 8 TiB");
        return;
    }
    if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "1") {
        common::skipped("a sparse bitmap", "this system grants any allocation");
        return;
    }
    let mut plan = files.plan(Direction::Load);
    plan.regions[0].area.bitmap_offset = 0;
    plan.regions[0].area.length = 1 << 58;
    plan.regions[0].area.pages_offset = size;
    assert_says(
        &refused(plan),
        ErrorKind::OutOfRange,
        &[
            &files.snapshot.source().name(),
            "the bitmap of block ram",
            &format!("found {size} bytes"),
        ],
    );
}

#[test]
fn pages_beyond_the_file_are_refused() {
    let files = Files::new();
    let whole = PAGES_OFFSET + LENGTH;
    for size in [whole - 1, whole - 4096, PAGES_OFFSET] {
        files.snapshot.file.set_len(size).unwrap();
        assert_says(
            &refused(files.plan(Direction::Load)),
            ErrorKind::Truncated,
            &[
                &files.snapshot.source().name(),
                "pages of block ram",
                &format!("expected a size of at least {whole}"),
                &format!("found {size}"),
            ],
        );
        assert_eq!(files.empty.contents().len(), 0, "the memory did not grow");
    }
}

#[test]
fn clear_pages_may_lie_beyond_the_file() {
    let files = Files::new();
    // The last page is clear, so the file may end before it; bits of the word that belong to no page do not count.
    files
        .snapshot
        .file
        .write_all_at(&[0x7f], BITMAP_OFFSET + PAGES as u64 / 8 - 1)
        .unwrap();
    files.snapshot.file.set_len(PAGES_OFFSET + LENGTH - 4096).unwrap();
    Transfer::new(files.plan(Direction::Load)).run().unwrap();
    let loaded = files.empty.contents();
    let kept = common::size(LENGTH - 4096);
    common::assert_same("pages", &loaded[..kept], &files.memory.contents()[..kept]);
    assert!(loaded[kept..].iter().all(|byte| *byte == 0));
}

#[test]
fn memory_that_is_too_short_is_refused() {
    let files = Files::new();
    for (size, memory_offset) in [(LENGTH - 1, 0), (0, 0), (LENGTH, 1), (LENGTH, MIB)] {
        files.memory.file.file.set_len(size).unwrap();
        let mut plan = files.plan(Direction::Save);
        plan.regions[0].memory_offset = memory_offset;
        assert_says(
            &refused(plan),
            ErrorKind::Truncated,
            &[
                &files.memory.file.source().name(),
                &format!("expected {} bytes", memory_offset + LENGTH),
                &format!("found {size}"),
            ],
        );
    }
    for direction in both() {
        let mut plan = files.plan(direction);
        let buffer = Arc::new(ByteMemory::new(vec![0; common::size(LENGTH - 1)]));
        plan.regions[0].memory = MemorySpec::Bytes(buffer);
        assert_says(
            &refused(plan),
            ErrorKind::OutOfRange,
            &[
                &format!("expected {LENGTH} bytes at offset 0"),
                &format!("found {}", LENGTH - 1),
            ],
        );
    }
}

// ---- files of the wrong kind ----

#[test]
fn memory_that_is_no_file_is_refused() {
    let files = Files::new();
    let fifo = files.path().join("fifo");
    make_fifo(&fifo);
    for direction in both() {
        for (path, found) in [
            (fifo.as_path(), "a fifo"),
            (Path::new("/dev/null"), "a character device"),
            (Path::new("/dev/zero"), "a character device"),
            (files.path(), "a directory"),
        ] {
            let mut plan = files.plan(direction);
            plan.regions[0].memory = MemorySpec::File(FileSource::Path(path.to_path_buf()));
            let error = refused_soon(plan, &fifo);
            let name = path.display().to_string();
            if found == "a directory" && direction == Direction::Load {
                // A directory cannot even be opened for writing.
                assert_says(
                    &error,
                    ErrorKind::Io,
                    &[&name, "opening guest memory", "directory"],
                );
                continue;
            }
            assert_says(
                &error,
                ErrorKind::Unsupported,
                &[
                    &name,
                    "guest memory: expected a regular file or memfd",
                    &format!("found {found}"),
                ],
            );
        }
    }
}

#[test]
fn a_snapshot_that_is_no_file_is_refused() {
    let files = Files::new();
    let fifo = files.path().join("fifo");
    make_fifo(&fifo);
    for direction in both() {
        for direct_io in [DirectIo::Off, DirectIo::Auto] {
            for path in [fifo.as_path(), files.path()] {
                let mut plan = files.plan(direction);
                plan.snapshot = SnapshotSpec::path(path);
                plan.tuning.direct_io = direct_io;
                let error = refused_soon(plan, &fifo);
                let text = error.to_string();
                assert!(text.contains(&path.display().to_string()), "{text}");
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Io | ErrorKind::Truncated | ErrorKind::Unsupported
                    ),
                    "{text}"
                );
            }
        }
    }
    let mut plan = files.plan(Direction::Load);
    plan.snapshot = SnapshotSpec::path("/dev/zero");
    let error = refused_soon(plan, &fifo);
    assert!(error.to_string().starts_with("/dev/zero"), "{error}");
}

/// Files are opened without waiting, and then used as ever: io_uring gives up early on descriptors with O_NONBLOCK.
#[test]
fn descriptors_of_a_transfer_have_no_stray_flags() {
    use mapped_ram_engine::queue;
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};
    let files = Files::new();
    for direction in both() {
        let plan = files.plan(direction);
        let engine = plan.tuning.io_engine;
        Transfer::new(plan)
            .run_with(&|count, file, options| {
                for descriptor in file.buffered.file().into_iter().chain(&file.direct) {
                    let flags = fcntl_getfl(descriptor).expect("its flags");
                    assert!(!flags.contains(OFlags::NONBLOCK), "{flags:?}");
                    let flags = fcntl_getfd(descriptor).expect("its flags");
                    assert!(flags.contains(FdFlags::CLOEXEC), "children inherit nothing");
                }
                queue::make_queues(engine, count, file, options)
            })
            .unwrap();
    }
}

fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
}

/// Does as `refused`, for plans that may wait for a fifo's other end instead.
fn refused_soon(plan: Plan, fifo: &Path) -> EngineError {
    let (send, receive) = mpsc::channel();
    let waiting = thread::spawn(move || send.send(refused(plan)));
    let error = receive.recv_timeout(Duration::from_secs(3));
    // The other end is opened, so that the thread comes back in any case.
    let _ends = OpenOptions::new().read(true).write(true).open(fifo);
    let _ = waiting.join();
    error.expect("an error instead of a wait for the fifo's other end")
}

#[test]
fn files_that_do_not_exist_are_named() {
    let files = Files::new();
    let missing = files.path().join("missing");
    let name = missing.display().to_string();
    for direction in both() {
        let mut plan = files.plan(direction);
        plan.snapshot = SnapshotSpec::path(&missing);
        assert_says(
            &refused(plan),
            ErrorKind::Io,
            &[&name, "opening the snapshot", "No such file"],
        );
        let mut plan = files.plan(direction);
        plan.regions[0].memory = MemorySpec::File(FileSource::Path(missing.clone()));
        assert_says(
            &refused(plan),
            ErrorKind::Io,
            &[&name, "opening guest memory", "No such file"],
        );
        assert!(!missing.exists(), "nothing was made");
    }
}

// ---- descriptors ----

/// Finds a number that no descriptor has: far above those that the harness hands out.
const CLOSED: RawFd = 900_000;

#[test]
fn closed_descriptors_are_refused() {
    let files = Files::new();
    for direction in both() {
        for descriptor in [CLOSED, -1, RawFd::MIN] {
            let name = format!("descriptor {descriptor}");
            let mut plan = files.plan(direction);
            plan.snapshot.source = SnapshotSource::File(FileSource::Fd(descriptor));
            assert_says(
                &refused(plan),
                ErrorKind::Io,
                &[&name, "opening the snapshot", "Bad file descriptor"],
            );
            let mut plan = files.plan(direction);
            plan.regions[0].memory = MemorySpec::File(FileSource::Fd(descriptor));
            assert_says(
                &refused(plan),
                ErrorKind::Io,
                &[&name, "opening guest memory", "Bad file descriptor"],
            );
            let mut plan = files.plan(direction);
            plan.snapshot.direct = Some(FileSource::Fd(descriptor));
            assert_says(
                &refused(plan),
                ErrorKind::DirectIoUnavailable,
                &["direct I/O was asked for", "Bad file descriptor"],
            );
        }
    }
}

#[test]
fn a_descriptor_pair_must_be_one_file_opened_both_ways() {
    let files = Files::new();
    let path = files.snapshot.source().path().unwrap();
    let Ok(direct) = source::open_direct(&path, true) else {
        common::skipped("descriptor pairs", "the temporary directory has no direct I/O");
        return;
    };
    let buffered = source::open(&path, true).unwrap();
    let other = source::open_direct(&files.fresh(), true).unwrap();
    let spec = |file: &File, direct: Option<&File>| SnapshotSpec {
        source: SnapshotSource::File(FileSource::Fd(file.as_raw_fd())),
        direct: direct.map(|direct| FileSource::Fd(direct.as_raw_fd())),
        name: "the snapshot".to_owned(),
    };
    for direct_io in [DirectIo::Auto, DirectIo::On] {
        let load = |snapshot: SnapshotSpec| {
            let mut load = plan(Direction::Load, snapshot, block().region(files.empty.spec()));
            load.tuning.direct_io = direct_io;
            load
        };
        assert_says(
            &refused(load(spec(&buffered, Some(&other)))),
            ErrorKind::DirectIoUnavailable,
            &["the snapshot", "the two descriptors belong to different files"],
        );
        assert_says(
            &refused(load(spec(&buffered, Some(&buffered)))),
            ErrorKind::DirectIoUnavailable,
            &["the snapshot", "was not opened with O_DIRECT"],
        );
        assert_says(
            &refused(load(spec(&direct, None))),
            ErrorKind::InvalidArgument,
            &["the snapshot", "expected one without O_DIRECT, found O_DIRECT"],
        );
        let report = Transfer::new(load(spec(&buffered, Some(&direct)))).run().unwrap();
        // The page cache may have the pages, and then nobody needs the descriptor.
        assert!(report.direct_io.on || direct_io == DirectIo::Auto);
        common::assert_same("memory", &files.empty.contents(), &files.memory.contents());
    }
}

/// Positional writes to a descriptor with O_APPEND go to the file's end.
#[test]
fn a_descriptor_that_appends_is_refused_for_saving() {
    let files = Files::new();
    let path = files.fresh();
    let appending = OpenOptions::new().read(true).append(true).open(&path).unwrap();
    let mut plan = files.plan(Direction::Save);
    plan.snapshot.source = SnapshotSource::File(FileSource::Fd(appending.as_raw_fd()));
    assert_says(
        &refused(plan),
        ErrorKind::InvalidArgument,
        &["descriptor", "expected one without O_APPEND, found O_APPEND"],
    );
    assert_eq!(path.metadata().unwrap().len(), 0, "nothing was written");

    // A load is not affected.
    files.memory.file.file.set_len(LENGTH).unwrap();
    let appending = OpenOptions::new()
        .read(true)
        .append(true)
        .open(files.snapshot.source().path().unwrap())
        .unwrap();
    let mut plan = files.plan(Direction::Load);
    plan.snapshot.source = SnapshotSource::File(FileSource::Fd(appending.as_raw_fd()));
    Transfer::new(plan).run().unwrap();
}

#[test]
fn a_descriptor_that_cannot_be_written_is_an_error() {
    let files = Files::new();
    let path = files.fresh();
    let reading = File::open(&path).unwrap();
    for engine in common::engines() {
        let mut plan = files.plan(Direction::Save);
        plan.snapshot.source = SnapshotSource::File(FileSource::Fd(reading.as_raw_fd()));
        plan.tuning.direct_io = DirectIo::Off;
        plan.tuning.io_engine = engine;
        let error = refused(plan);
        assert_says(
            &error,
            ErrorKind::Io,
            &["descriptor", "writing", "Bad file descriptor"],
        );
        assert!(error.offset().is_some());
    }
}

// ---- files that change meanwhile ----

fn engines_and_modes(directory: &Path) -> Vec<(IoEngine, DirectIo)> {
    let mut modes = vec![DirectIo::Off, common::direct_io(directory)];
    modes.dedup();
    common::engines()
        .into_iter()
        .flat_map(|engine| modes.clone().into_iter().map(move |mode| (engine, mode)))
        .collect()
}

#[test]
fn a_snapshot_truncated_while_it_is_loaded_is_an_error() {
    let whole = PAGES_OFFSET + LENGTH;
    let probe = tempfile::tempdir().unwrap();
    for (engine, direct_io) in engines_and_modes(probe.path()) {
        for size in [0, PAGES_OFFSET, whole / 2, whole - 4096, whole - 1, whole - 513] {
            let files = Files::new();
            let mut plan = files.plan(Direction::Load);
            plan.tuning.direct_io = direct_io;
            let error = Spy::default()
                .run_after(Transfer::new(plan), engine, || {
                    files.snapshot.file.set_len(size).expect("a new size");
                })
                .unwrap_err();
            assert_says(
                &error,
                ErrorKind::Truncated,
                &[
                    &files.snapshot.source().name(),
                    "the snapshot ended: expected",
                    "found none",
                ],
            );
            // A cut inside a page is found where the file ends, or at the start of that page.
            let at = error.offset().unwrap();
            assert!(
                (PAGES_OFFSET..whole).contains(&at) && at >= size / 512 * 512,
                "{error}"
            );
        }
    }
}

#[test]
fn a_snapshot_truncated_after_some_requests_is_an_error() {
    for engine in common::engines() {
        for number in [1, 3, 7] {
            let files = Files::new();
            let snapshot = files.snapshot.file.try_clone().unwrap();
            let mut plan = files.plan(Direction::Load);
            plan.tuning.channels = Some(1);
            let spy = Spy::new(move |at| {
                if at == number {
                    snapshot.set_len(PAGES_OFFSET).expect("a new size");
                }
            });
            let error = spy.run(Transfer::new(plan), engine).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        }
    }
}

#[test]
fn memory_truncated_while_it_is_saved_is_an_error() {
    for engine in common::engines() {
        for place in [Place::Disk, Place::DiskDescriptor, Place::Memfd] {
            // The cuts are at a page, inside a page, inside a request, and at the start.
            for size in [LENGTH - 4096, LENGTH - 1, LENGTH / 2 + 4096, 4096, 0] {
                for store_zero_pages in [false, true] {
                    let directory = tempfile::tempdir().unwrap();
                    let block = Block {
                        store_zero_pages,
                        ..block()
                    };
                    let memory = TestFile::new(directory.path(), "memory", place);
                    memory.file.set_len(LENGTH).unwrap();
                    block.fill_memory(&memory.file);
                    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
                    let region = block.region(MemorySpec::File(memory.source()));
                    let error = Spy::default()
                        .run_after(
                            Transfer::new(plan(Direction::Save, snapshot.snapshot(), region)),
                            engine,
                            || memory.file.set_len(size).expect("a new size"),
                        )
                        .unwrap_err();
                    assert_says(
                        &error,
                        ErrorKind::Truncated,
                        &[&memory.source().name(), "guest memory ended: expected", "found"],
                    );
                }
            }
        }
    }
}

/// Memory that ends in a hole is as long as its file says, not as far as its data reaches.
#[test]
fn memory_that_ends_in_a_hole_is_not_truncated() {
    for place in [Place::Disk, Place::Memfd] {
        let directory = tempfile::tempdir().unwrap();
        let mut block = block();
        block.pages[10..].fill(common::Page::Hole);
        let memory = TestFile::new(directory.path(), "memory", place);
        memory.file.set_len(LENGTH).unwrap();
        block.fill_memory(&memory.file);
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        let region = block.region(MemorySpec::File(memory.source()));
        let report = Transfer::new(plan(Direction::Save, snapshot.snapshot(), region))
            .run()
            .unwrap();
        assert_eq!(report.data_bytes, 10 * 4096);
    }
}
