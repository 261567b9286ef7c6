//! A save of some pages against a page-at-a-time one: same bytes, same bits, same holes, whatever was in the file.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::{Block, KIB, MIB, Noise, Page, Pattern, Place, TestFile};
use mapped_ram_engine::file::page_cache_state;
use mapped_ram_engine::memory::{ByteMemory, MemorySpec, ProcessBlock};
use mapped_ram_engine::pages::{Bitmap, is_zero};
use mapped_ram_engine::process::{BlockRuns, ProcessCopy, ProcessPages};
use mapped_ram_engine::{BaseBits, DirectIo, Direction, IoEngine, Only, Plan, Region, Transfer, Tuning};
use proptest::prelude::*;

/// The way in which the memory is given to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Bytes,
    File,
    Process,
    Copy,
}

/// The bits of the pages that are left alone.
#[derive(Debug, Clone, Copy)]
enum Base {
    Clear,
    InPlace,
    Bits,
}

#[derive(Debug, Clone)]
struct Case {
    page_size: u64,
    pages: Vec<Page>,
    only: Vec<bool>,
    /// The bits of the base, whose file has other data under set bits and may have it under clear ones.
    base: Vec<bool>,
    stale: bool,
    kind: Base,
    store: bool,
    way: Way,
    by_bitmap: bool,
    odd: bool,
    place: Place,
    seed: u64,
    channels: usize,
    request_pages: u64,
    engine: IoEngine,
    direct: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let whole = (
        prop_oneof![4 => Just(4096_u64), 1 => Just(512_u64), 1 => Just(16 * KIB)],
        1_usize..500,
        any::<u64>(),
        prop_oneof![Just(Base::Clear), Just(Base::InPlace), Just(Base::Bits)],
        prop_oneof![
            Just(Way::Bytes),
            Just(Way::File),
            Just(Way::Process),
            Just(Way::Copy)
        ],
        prop_oneof![2 => Just(Place::Disk), 1 => Just(Place::Memfd)],
        proptest::collection::vec(any::<bool>(), 5),
        1_usize..6,
        prop_oneof![1_u64..=64, Just(256_u64)],
        proptest::sample::select(common::engines()),
        proptest::sample::select(vec![
            Pattern::AllZero,
            Pattern::AllData,
            Pattern::Dense,
            Pattern::Runs,
            Pattern::Random,
        ]),
        proptest::sample::select(vec![
            Pattern::Single,
            Pattern::AllData,
            Pattern::Sparse,
            Pattern::Runs,
            Pattern::Random,
        ]),
    );
    whole.prop_map(
        |(
            page_size,
            count,
            seed,
            kind,
            way,
            place,
            flags,
            channels,
            request_pages,
            engine,
            pattern,
            chosen,
        )| {
            let count = count.min(common::size(2 * MIB / page_size));
            let marks = |pattern: Pattern, seed: u64| -> Vec<bool> {
                let pages = pattern.pages(count, request_pages, seed);
                pages.iter().map(|page| *page == Page::Data).collect()
            };
            Case {
                page_size,
                pages: pattern.pages(count, request_pages, seed),
                only: marks(chosen, !seed),
                base: marks(Pattern::Random, seed ^ 0x55),
                stale: flags[0],
                kind,
                store: flags[1],
                way,
                by_bitmap: flags[2],
                odd: flags[3],
                place,
                seed,
                channels,
                request_pages,
                engine,
                direct: flags[4],
            }
        },
    )
}

fn runs_of(marks: &[bool], page_size: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (page, _) in (0_u64..).zip(marks).filter(|(_, marked)| **marked) {
        match runs.last_mut() {
            Some(run) if run.end == page * page_size => run.end += page_size,
            _ => runs.push(page * page_size..(page + 1) * page_size),
        }
    }
    runs
}

fn bitmap_of(marks: &[bool]) -> Vec<u8> {
    let mut bytes = vec![0; marks.len().div_ceil(64) * 8];
    for (page, _) in marks.iter().enumerate().filter(|(_, marked)| **marked) {
        bytes[page / 8] |= 1 << (page % 8);
    }
    bytes
}

/// Puts the base into a file: data under set bits, and under clear ones where there is stale data.
fn fill_base(case: &Case, block: &Block, file: &File) {
    let mut noise = Noise::new(case.seed ^ 0xabcd);
    file.set_len(block.pages_range().end).expect("a size");
    for (page, set) in (0..).zip(&case.base) {
        if *set || case.stale {
            let mut bytes = vec![0; common::size(case.page_size)];
            noise.fill(&mut bytes);
            file.write_all_at(&bytes, block.pages_offset + page * case.page_size)
                .expect("a page of the base");
        }
    }
    file.write_all_at(&bitmap_of(&case.base), block.bitmap_offset)
        .expect("the bitmap of the base");
}

/// The oracle.
fn save_naively(case: &Case, block: &Block, memory: &[u8], file: &File) {
    use rustix::fs::{FallocateFlags, fallocate};
    let mut bits: Vec<bool> = match case.kind {
        Base::Clear => vec![false; case.base.len()],
        Base::InPlace | Base::Bits => case.base.clone(),
    };
    for (page, _) in case.only.iter().enumerate().filter(|(_, wanted)| **wanted) {
        let page_bytes = common::size(case.page_size);
        let content = &memory[page * page_bytes..(page + 1) * page_bytes];
        let offset = block.pages_offset + page as u64 * case.page_size;
        bits[page] = case.store || !is_zero(content);
        if bits[page] {
            file.write_all_at(content, offset).expect("a page");
        } else {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, flags, offset, case.page_size).expect("a hole");
        }
    }
    file.write_all_at(&bitmap_of(&bits), block.bitmap_offset)
        .expect("the bitmap");
}

fn block_of(case: &Case) -> Block {
    Block {
        name: "ram".to_owned(),
        page_size: case.page_size,
        pages: case.pages.clone(),
        seed: case.seed,
        memory_offset: 0,
        pages_offset: MIB + if case.odd { 100 } else { 0 },
        bitmap_offset: 4096,
        store_zero_pages: case.store,
        memory_is_zero: false,
    }
}

fn only_of(case: &Case, block: &Block) -> Only {
    let base = match case.kind {
        Base::Clear => BaseBits::Clear,
        Base::InPlace => BaseBits::InPlace,
        Base::Bits => BaseBits::of_bytes("ram", &block.area(), &bitmap_of(&case.base)).expect("a bitmap"),
    };
    let made = if case.by_bitmap {
        Only::of_bitmap("ram", &block.area(), &bitmap_of(&case.only), base)
    } else {
        Only::of_runs("ram", &block.area(), &runs_of(&case.only, case.page_size), base)
    };
    made.expect("pages of the block")
}

fn save_equals(case: &Case) {
    let directory = tempfile::tempdir().expect("a directory");
    let block = block_of(case);
    let held = TestFile::new(directory.path(), "memory", Place::Disk);
    held.file.set_len(block.length()).expect("a size");
    block.fill_memory(&held.file);
    let memory = held.contents();
    let address = memory.as_ptr().addr() as u64;

    let found = TestFile::new(directory.path(), "found", case.place);
    let expected = TestFile::new(directory.path(), "expected", case.place);
    for file in [&found.file, &expected.file] {
        fill_base(case, &block, file);
    }
    save_naively(case, &block, &memory, &expected.file);

    let spec = match case.way {
        Way::Bytes => MemorySpec::Bytes(Arc::new(ByteMemory::new(memory.clone()))),
        Way::File => MemorySpec::File(held.source()),
        Way::Process => MemorySpec::Process(ProcessBlock {
            pid: std::process::id(),
            address,
            pages: ProcessPages::Changed,
        }),
        Way::Copy => {
            let copy = ProcessCopy::with_capacity(block.length()).expect("room");
            let runs = runs_of(&case.only, case.page_size);
            let copied = copy
                .copy(std::process::id(), &[BlockRuns { address, runs }], 4096, 2)
                .expect("a copy");
            assert!(copied.left.iter().all(Vec::is_empty), "everything fits");
            MemorySpec::Copy(Arc::new(copy), 0)
        }
    };
    let direct_io = if case.direct {
        common::direct_io(directory.path())
    } else {
        DirectIo::Off
    };
    let request_size = common::size((case.request_pages * case.page_size).min(MIB));
    let region = Region {
        only: Some(only_of(case, &block)),
        ..block.region(spec)
    };
    let plan = Plan {
        tuning: Tuning {
            channels: Some(case.channels),
            queue_depth: 3,
            request_size,
            direct_io: if case.place == Place::Memfd {
                DirectIo::Off
            } else {
                direct_io
            },
            io_engine: case.engine,
            ..Tuning::default()
        },
        ..Plan::new(Direction::Save, found.snapshot(), vec![region])
    };
    let report = Transfer::new(plan).run().expect("the save succeeds");

    common::assert_same("snapshot", &found.contents(), &expected.contents());
    let units = |file: &TestFile| common::data_units(&file.file, block.pages_range());
    if case.page_size.is_multiple_of(4096) && !case.odd {
        assert_eq!(units(&found), units(&expected), "allocated parts");
    } else {
        // A hole for several pages covers whole blocks that holes for each of them do not.
        let (found, expected) = (units(&found), units(&expected));
        assert!(
            found.is_subset(&expected),
            "allocated: {:?}",
            found.difference(&expected).collect::<Vec<_>>()
        );
    }
    let written = case
        .only
        .iter()
        .zip(&case.pages)
        .filter(|(only, page)| **only && (case.store || **page == Page::Data))
        .count() as u64;
    assert_eq!(report.data_bytes, written * case.page_size, "data bytes");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(80),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_save_of_some_pages_equals_the_oracles(case in case()) {
        save_equals(&case);
    }
}

fn simple() -> Case {
    Case {
        page_size: 4096,
        pages: Pattern::Random.pages(70, 8, 7),
        only: (0..70).map(|page| page % 3 == 0).collect(),
        base: vec![true; 70],
        stale: false,
        kind: Base::InPlace,
        store: false,
        way: Way::Bytes,
        by_bitmap: false,
        odd: false,
        place: Place::Memfd,
        seed: 7,
        channels: 1,
        request_pages: 8,
        engine: IoEngine::Threads,
        direct: false,
    }
}

#[test]
fn a_save_of_no_page_writes_the_bitmap() {
    for kind in [Base::InPlace, Base::Bits, Base::Clear] {
        save_equals(&Case {
            only: vec![false; 70],
            kind,
            ..simple()
        });
    }
}

#[test]
fn holes_of_the_memory_are_not_read_where_the_snapshot_has_holes_too() {
    // Temporary files may be in memory elsewhere, where a hole that was read is no different.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let case = Case {
        pages: vec![Page::Zero; 512],
        only: vec![true; 512],
        base: vec![false; 512],
        kind: Base::Clear,
        way: Way::File,
        ..simple()
    };
    let block = block_of(&case);
    let held = TestFile::new(directory.path(), "memory", Place::Disk);
    held.file.set_len(block.length()).expect("a size");
    held.file.write_all_at(&[7; 4096], 40 * 4096).expect("a page");
    let found = TestFile::new(directory.path(), "found", Place::Disk);
    let region = Region {
        only: Some(only_of(&case, &block)),
        ..block.region(MemorySpec::File(held.source()))
    };
    let plan = Plan::new(Direction::Save, found.snapshot(), vec![region]);
    let report = Transfer::new(plan).run().expect("the save succeeds");
    assert_eq!(report.data_bytes, 4096);
    let state = page_cache_state(&held.source(), 0..u64::MAX).expect("a file");
    if let Some(state) = state {
        assert!(state.cached < block.length() / 4, "{} bytes", state.cached);
    }
    let saved = found.contents();
    let place = usize::try_from(block.pages_offset).expect("a place");
    assert_eq!(saved[place + 40 * 4096..][..4096], [7; 4096]);
}

#[test]
fn a_copy_that_lacks_a_page_is_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let case = simple();
    let block = block_of(&case);
    let memory = vec![7_u8; common::size(block.length())];
    let file = TestFile::new(directory.path(), "found", Place::Memfd);
    fill_base(&case, &block, &file.file);
    let before = file.contents();
    let copy = ProcessCopy::with_capacity(10 * 4096).unwrap();
    let runs = runs_of(&case.only, 4096);
    let address = memory.as_ptr().addr() as u64;
    let copied = copy
        .copy(std::process::id(), &[BlockRuns { address, runs }], 4096, 2)
        .unwrap();
    assert_eq!(copied.bytes, 10 * 4096);
    assert_eq!(copied.left[0].first().map(|run| run.start), Some(30 * 4096));
    let region = Region {
        only: Some(only_of(&case, &block)),
        ..block.region(MemorySpec::Copy(Arc::new(copy), 0))
    };
    let error = Transfer::new(Plan::new(Direction::Save, file.snapshot(), vec![region]))
        .run()
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("expected the page at 122880, found none"),
        "{error}"
    );
    common::assert_same("snapshot", &file.contents(), &before);
}

#[test]
fn pages_that_are_none_of_the_block_are_refused() {
    let area = block_of(&simple()).area();
    for runs in [
        &[(0, 4095)][..],
        &[(1, 4096)],
        &[(8192, 12_288), (0, 4096)],
        &[(0, 0)],
        &[(0, 71 * 4096)],
        &[(0, 8192), (4096, 12_288)],
    ] {
        let runs: Vec<Range<u64>> = runs.iter().map(|(start, end)| *start..*end).collect();
        let error = Only::of_runs("ram", &area, &runs, BaseBits::Clear).unwrap_err();
        assert!(
            error.message().starts_with("block ram: expected ascending runs"),
            "{error}"
        );
    }
    assert!(Only::of_bitmap("ram", &area, &[0; 8], BaseBits::Clear).is_err());
    assert!(Only::of_bitmap("ram", &area, &[0; 16], BaseBits::Clear).is_ok());
    assert!(BaseBits::of_bytes("ram", &area, &[0; 24]).is_err());
    let wrong = BaseBits::Bits(Bitmap::try_new(3).unwrap());
    let only = Only::of_runs("ram", &area, &[], wrong).unwrap();
    let file = TestFile::new(&std::env::temp_dir(), "none", Place::Memfd);
    let memory = MemorySpec::Bytes(Arc::new(ByteMemory::new(vec![0; 70 * 4096])));
    let region = Region {
        only: Some(only),
        ..block_of(&simple()).region(memory)
    };
    let error = Transfer::new(Plan::new(Direction::Save, file.snapshot(), vec![region]))
        .run()
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("expected a bitmap of 70 pages, found one of 3"),
        "{error}"
    );
}

#[test]
fn only_a_save_can_be_limited() {
    let case = simple();
    let block = block_of(&case);
    let file = TestFile::new(&std::env::temp_dir(), "snapshot", Place::Memfd);
    fill_base(&case, &block, &file.file);
    let region = Region {
        only: Some(only_of(&case, &block)),
        ..block.region(MemorySpec::Bytes(Arc::new(ByteMemory::new(vec![0; 70 * 4096]))))
    };
    let error = Transfer::new(Plan::new(Direction::Load, file.snapshot(), vec![region]))
        .run()
        .unwrap_err();
    assert!(error.message().contains("only a save can be limited"), "{error}");
}
