//! Guest memory in small pages of tmpfs: a save writes it from where it lies, fills no hole, and takes memory that goes
//! away for an error.

#![cfg(target_os = "linux")]

mod common;

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use common::process::{Holdings, in_child, is_child};
use common::spy::Spy;
use common::{Block, KIB, MIB, Page, Pattern, Place, TestFile};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{Direction, ErrorKind, IoEngine, Plan, Transfer, Tuning};

const LENGTH: u64 = 4 * MIB;
/// The windows of a block, of 256 KiB.
const WINDOWS: u64 = LENGTH / (256 * KIB);

fn block(pages: Vec<Page>) -> Block {
    Block {
        name: "ram".to_owned(),
        page_size: 4096,
        pages,
        seed: 7,
        memory_offset: 8192,
        pages_offset: MIB,
        bitmap_offset: 4096,
        store_zero_pages: false,
        memory_is_zero: false,
    }
}

fn full() -> Block {
    block(Pattern::AllData.pages(common::size(LENGTH / 4096), 64, 7))
}

/// One page in each window holds zeros.
fn few_zeros() -> Block {
    let mut block = full();
    for page in block.pages.iter_mut().skip(5).step_by(64) {
        *page = Page::Zero;
    }
    block
}

fn zeros(block: &Block) -> Vec<u64> {
    let pages = (0..).zip(&block.pages);
    pages
        .filter(|(_, page)| **page == Page::Zero)
        .map(|(index, _)| index)
        .collect()
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

fn save(block: &Block, memory: &TestFile, snapshot: &TestFile, engine: IoEngine) -> Transfer {
    let region = block.region(MemorySpec::File(memory.source()));
    Transfer::new(Plan {
        tuning: Tuning {
            channels: Some(2),
            queue_depth: 4,
            request_size: common::size(256 * KIB),
            io_engine: engine,
            ..Tuning::default()
        },
        ..Plan::new(Direction::Save, snapshot.snapshot(), vec![region])
    })
}

fn equals_the_oracle(block: &Block, engine: IoEngine) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let memory = memory(directory, block);
    let taken = memory.file.metadata().expect("its size").blocks();
    let saved = TestFile::new(directory, "saved", Place::Disk);
    let oracle = TestFile::new(directory, "oracle", Place::Disk);
    common::naive::save(&memory.file, &oracle.file, block);
    let spy = Spy::default();
    spy.run(save(block, &memory, &saved, engine), engine)
        .expect("a save");
    common::assert_same("saved", &saved.contents(), &oracle.contents());
    assert_eq!(
        memory.file.metadata().expect("its size").blocks(),
        taken,
        "no hole was filled"
    );
    spy.lent()
}

fn lies_where_it_is_written_from() {
    for engine in common::engines() {
        assert_eq!(equals_the_oracle(&full(), engine), WINDOWS);
        assert_eq!(equals_the_oracle(&few_zeros(), engine), WINDOWS);
        // Windows of data between holes. One is too short to be worth a mapping, by a page.
        let mut holes = full();
        holes.pages[100..200].fill(Page::Hole);
        holes.pages[215..300].fill(Page::Hole);
        holes.pages[316..640].fill(Page::Hole);
        let lent = equals_the_oracle(&holes, engine);
        assert_eq!(lent, 2 + 1 + 6, "0..64 and 64..100, 300..316, then 640..1024");
    }
}

fn many_zeros_are_copied() {
    for engine in common::engines() {
        let mut many_runs = full();
        for page in many_runs.pages.iter_mut().skip(5).step_by(9) {
            *page = Page::Zero;
        }
        assert_eq!(equals_the_oracle(&many_runs, engine), 0);
        let zeros = block(Pattern::AllZero.pages(common::size(LENGTH / 4096), 64, 7));
        assert_eq!(equals_the_oracle(&zeros, engine), 0);
    }
}

/// Pages that were zero when they were looked at, and are not when the pages beside them are written.
fn what_changes_later_is_not_below_a_clear_bit() {
    for engine in common::engines() {
        let directory = tempfile::tempdir().expect("a directory");
        let block = few_zeros();
        let memory = memory(directory.path(), &block);
        let saved = TestFile::new(directory.path(), "saved", Place::Disk);
        let (live, zero_pages) = (memory.file.try_clone().expect("a descriptor"), zeros(&block));
        let offset = block.memory_offset;
        let spy = Spy::new(move |_| {
            for page in &zero_pages {
                live.write_all_at(&[0xff; 4096], offset + page * 4096)
                    .expect("memory changes");
            }
        });
        spy.run(save(&block, &memory, &saved, engine), engine)
            .expect("a save of memory that changes");
        assert!(spy.lent() > 0);
        let mut clear = 0;
        for page in zeros(&block) {
            if !common::naive::is_set(&saved.file, &block, page) {
                let mut found = [1; 4096];
                saved
                    .file
                    .read_exact_at(&mut found, block.pages_offset + page * 4096)
                    .expect("a page of the snapshot");
                assert!(found.iter().all(|byte| *byte == 0), "page {page}");
                clear += 1;
            }
        }
        assert!(clear > 0, "the first window was looked at before memory changed");
    }
}

/// A load from such a mapping would be a SIGBUS.
fn cut_short() {
    for engine in common::engines() {
        for left in [0, LENGTH / 2] {
            let directory = tempfile::tempdir().expect("a directory");
            let block = full();
            let memory = memory(directory.path(), &block);
            let saved = TestFile::new(directory.path(), "saved", Place::Disk);
            let cut = memory.file.try_clone().expect("a descriptor");
            let spy = Spy::new(move |number| {
                if number == 1 {
                    cut.set_len(left).expect("a new size");
                }
            });
            let error = spy
                .run(save(&block, &memory, &saved, engine), engine)
                .expect_err("memory is gone");
            assert!(
                matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Io),
                "{error}"
            );
            assert_eq!(error.path(), Some(memory.source().name().as_str()), "{error}");
        }
    }
}

/// One test in a process of its own, which holds nothing else.
#[test]
fn memory_in_small_pages() {
    if !is_child("memory_in_small_pages") {
        in_child("memory_in_small_pages", None).unwrap();
        return;
    }
    let before = Holdings::idle();
    lies_where_it_is_written_from();
    many_zeros_are_copied();
    what_changes_later_is_not_below_a_clear_bit();
    cut_short();
    before.assert_again("saves of small pages");
}
