//! The engine against a page-at-a-time save and load: same bytes, same bits, same holes, whatever the plan.

#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::spy::Spy;
use common::{Block, KIB, MIB, Noise, Page, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::queue::Target;
use mapped_ram_engine::{DirectIo, Direction, IoEngine, Plan, Report, Transfer, Tuning};
use proptest::prelude::*;

/// The most bytes of buffers that one transfer of these tests uses: registered buffers are pinned memory.
const MOST_BUFFERS: u64 = 24 * MIB;
const MOST_BLOCK: u64 = 2 * MIB;
const MOST_PAGES: u64 = 700;

/// The alignment of page areas.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// Whole MiB, as QEMU aligns them.
    Qemu,
    /// Multiples of 4096.
    Block,
    /// Multiples of the page size, which may be less than a filesystem block.
    Page,
    /// Any offset.
    Odd,
}

#[derive(Debug, Clone)]
struct Shape {
    /// The number of pages, in thousandths of the most that a block may have.
    share: u64,
    pattern: Pattern,
    seed: u64,
    memory: Place,
    memory_offset: u64,
    store_zero_pages: bool,
    memory_is_zero: bool,
}

#[derive(Debug, Clone)]
struct Case {
    page_size: u64,
    shapes: Vec<Shape>,
    layout: Layout,
    snapshot: Place,
    /// True when there are bytes below clear bits already, as in a file that is written a second time.
    stale: bool,
    channels: u64,
    depth: u64,
    request_pages: u64,
    engine: IoEngine,
    direct: bool,
    alignment: Option<u32>,
}

impl Case {
    fn request_size(&self) -> u64 {
        (self.request_pages * self.page_size).clamp(self.page_size, MIB.max(self.page_size))
    }

    fn depth(&self) -> usize {
        let most = MOST_BUFFERS / (self.channels * self.request_size().max(4096));
        common::size(self.depth.min(most.saturating_sub(1)).max(1))
    }

    fn blocks(&self) -> Vec<Block> {
        let most_pages = MOST_PAGES.min(MOST_BLOCK / self.page_size);
        let mut end = 4096;
        self.shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                let pages = (most_pages * shape.share / 1000).max(1);
                let bitmap_offset = end;
                let after = bitmap_offset + pages.div_ceil(64) * 8;
                let pages_offset = match self.layout {
                    Layout::Qemu => after.next_multiple_of(MIB),
                    Layout::Block => after.next_multiple_of(4096),
                    Layout::Page => after.next_multiple_of(self.page_size),
                    Layout::Odd => after + 100,
                };
                end = pages_offset + pages * self.page_size;
                Block {
                    name: format!("block{index}"),
                    page_size: self.page_size,
                    pages: shape
                        .pattern
                        .pages(common::size(pages), self.request_pages, shape.seed),
                    seed: shape.seed,
                    memory_offset: shape.memory_offset,
                    pages_offset,
                    bitmap_offset,
                    store_zero_pages: shape.store_zero_pages,
                    memory_is_zero: shape.memory_is_zero,
                }
            })
            .collect()
    }

    fn plan(&self, direction: Direction, directory: &Path, snapshot: &TestFile) -> Plan {
        let direct_io = if self.direct {
            common::direct_io(directory)
        } else {
            DirectIo::Off
        };
        Plan {
            tuning: Tuning {
                channels: Some(common::size(self.channels)),
                queue_depth: self.depth(),
                request_size: common::size(self.request_size()),
                direct_io,
                alignment: self.alignment,
                ..Tuning::default()
            },
            ..Plan::new(direction, snapshot.snapshot(), Vec::new())
        }
    }

    /// Runs the plan with this case's engine and checks what it says of itself.
    fn run(&self, plan: Plan, blocks: &[Block], data_pages: u64) -> Report {
        let transfer = Transfer::new(plan);
        let progress = transfer.controls().progress;
        let spy = Spy::default();
        let bytes = blocks.iter().map(Block::length).sum::<u64>();
        assert_eq!(progress.total(), bytes, "total before the transfer begins");
        let report = spy.run(transfer, self.engine).expect("the transfer succeeds");
        assert_eq!(report.bytes, bytes, "bytes in the report");
        assert_eq!(
            report.data_bytes,
            data_pages * self.page_size,
            "data bytes in the report"
        );
        assert_eq!(progress.total(), bytes, "total of the progress");
        assert_eq!(progress.done(), bytes, "all done");
        let requests = spy.requests();
        let direct = requests.iter().filter(|request| request.target == Target::Direct);
        assert_eq!(report.counts.requests, requests.len() as u64, "requests");
        assert_eq!(report.counts.direct, direct.count() as u64, "direct requests");
        let moved: usize = requests.iter().map(|request| request.length).sum();
        assert_eq!(report.counts.bytes, moved as u64, "bytes of requests");
        if report.io_engine.name == "threads" {
            assert_eq!(report.counts.submissions, report.counts.requests, "one call each");
        }
        // 512 is the least that any device asks for; a forced alignment must be kept too.
        let least = u64::from(self.alignment.unwrap_or(512));
        for request in requests {
            if request.target == Target::Direct {
                assert!(
                    request.offset.is_multiple_of(least)
                        && (request.length as u64).is_multiple_of(least)
                        && request.start.is_multiple_of(512),
                    "unaligned direct request: {request:?}"
                );
            }
            assert!(request.length <= common::size(self.request_size()), "{request:?}");
        }
        report
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        1 => Just(Pattern::AllHoles),
        1 => Just(Pattern::AllZero),
        1 => Just(Pattern::AllData),
        1 => Just(Pattern::Dense),
        1 => Just(Pattern::Sparse),
        1 => Just(Pattern::Alternating),
        1 => Just(Pattern::Single),
        3 => Just(Pattern::Runs),
        2 => Just(Pattern::Random),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        prop_oneof![4 => 0_u64..=1000, 1 => Just(0_u64), 1 => Just(1000_u64)],
        pattern(),
        any::<u64>(),
        prop_oneof![
            Just(Place::Disk),
            Just(Place::DiskDescriptor),
            Just(Place::Memfd),
            Just(Place::Buffer)
        ],
        prop_oneof![
            3 => Just(0),
            1 => Just(4096),
            1 => Just(MIB),
            1 => Just(512 * 3),
            1 => Just(100)
        ],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(share, pattern, seed, memory, memory_offset, store_zero_pages, memory_is_zero)| Shape {
                share,
                pattern,
                seed,
                memory,
                memory_offset,
                store_zero_pages,
                memory_is_zero,
            },
        )
}

fn case() -> impl Strategy<Value = Case> {
    let engines: Vec<IoEngine> = common::engines();
    (
        prop_oneof![
            4 => Just(4096_u64),
            1 => Just(512_u64),
            1 => Just(256_u64),
            1 => Just(16 * KIB),
            1 => Just(64 * KIB)
        ],
        proptest::collection::vec(shape(), 1..=3),
        prop_oneof![
            Just(Layout::Qemu),
            Just(Layout::Block),
            Just(Layout::Page),
            Just(Layout::Odd)
        ],
        prop_oneof![
            3 => Just(Place::Disk),
            1 => Just(Place::DiskDescriptor),
            1 => Just(Place::Memfd)
        ],
        any::<bool>(),
        1_u64..=16,
        prop_oneof![1_u64..=64, 1_u64..=4],
        prop_oneof![1_u64..=256, 1_u64..=8, Just(64_u64), Just(256_u64)],
        proptest::sample::select(engines),
        any::<bool>(),
        prop_oneof![2 => Just(None), 1 => Just(Some(65536)), 1 => Just(Some(1024))],
    )
        .prop_map(
            |(
                page_size,
                shapes,
                layout,
                snapshot,
                stale,
                channels,
                depth,
                request_pages,
                engine,
                direct,
                alignment,
            )| Case {
                page_size,
                shapes,
                layout,
                snapshot,
                stale,
                channels,
                depth,
                request_pages,
                engine,
                direct,
                alignment,
            },
        )
}

fn config(cases: u32) -> ProptestConfig {
    // The environment may ask for more of them, for a long search.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(cases);
    ProptestConfig {
        cases,
        // A failure prints the plan it shrank to; the tree stays clean.
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_save_equals_the_oracles(case in case()) {
        save_equals(&case);
    }

    #[test]
    fn a_load_equals_the_oracles(case in case()) {
        load_equals(&case);
    }
}

/// Makes the memory of a block before a save: noise around the block, its pages inside.
fn source(directory: &Path, block: &Block, place: Place) -> TestMemory {
    let file = TestFile::new(directory, &format!("{}.memory", block.name), place);
    file.file
        .set_len(block.memory_offset + block.length() + 777)
        .expect("a size");
    surround(&file.file, block);
    block.fill_memory(&file.file);
    TestMemory::new(file)
}

/// Writes bytes before and after a block, which no transfer may take into account or touch.
fn surround(memory: &File, block: &Block) {
    let mut noise = Noise::new(!block.seed);
    let mut before = vec![0; common::size(block.memory_offset)];
    let mut after = vec![0; 777];
    noise.fill(&mut before);
    noise.fill(&mut after);
    memory.write_all_at(&before, 0).expect("bytes before");
    memory
        .write_all_at(&after, block.memory_offset + block.length())
        .expect("bytes after");
}

fn save_equals(case: &Case) {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = case.blocks();
    let memories: Vec<TestMemory> = blocks
        .iter()
        .zip(&case.shapes)
        .map(|(block, shape)| source(directory.path(), block, shape.memory))
        .collect();
    let found = TestFile::new(directory.path(), "found", case.snapshot);
    let expected = TestFile::new(directory.path(), "expected", case.snapshot);
    if case.stale {
        let garbage = vec![
            0xee;
            common::size(
                blocks
                    .iter()
                    .map(|block| block.pages_range().end)
                    .max()
                    .unwrap_or(0)
            )
        ];
        for file in [&found.file, &expected.file] {
            file.write_all_at(&garbage, 0).expect("garbage");
        }
    }
    let mut data_pages = 0;
    for (block, memory) in blocks.iter().zip(&memories) {
        common::naive::save(&memory.file.file, &expected.file, block);
        data_pages += (0..block.pages.len() as u64)
            .filter(|page| common::naive::is_set(&expected.file, block, *page))
            .count() as u64;
    }

    let mut plan = case.plan(Direction::Save, directory.path(), &found);
    plan.regions = blocks
        .iter()
        .zip(&memories)
        .map(|(block, memory)| block.region(memory.spec()))
        .collect();
    case.run(plan, &blocks, data_pages);

    for block in &blocks {
        assert_filled(case, block, &found.file, &expected.file);
    }
    common::assert_same("snapshot", &found.contents(), &expected.contents());
}

/// Allows a save zeros in the clear pages that lie in small gaps between set pages of one request, where they are few for
/// the data. Puts those that it made into what is expected.
fn assert_filled(case: &Case, block: &Block, found: &File, expected: &File) {
    let fillable = fillable(case, block, expected);
    let units = |page: &u64| {
        let start = block.pages_offset + page * block.page_size;
        start / 4096..(start + block.page_size).div_ceil(4096)
    };
    let units_found = common::data_units(found, block.pages_range());
    let units_expected = common::data_units(expected, block.pages_range());
    let missing: Vec<_> = units_expected.difference(&units_found).collect();
    assert!(
        missing.is_empty(),
        "{}: {missing:?} are not allocated",
        block.name
    );
    let allowed: BTreeSet<u64> = fillable.iter().flat_map(units).collect();
    let mut extra = units_found.difference(&units_expected);
    assert!(
        extra.all(|unit| allowed.contains(unit)),
        "clear pages of {} are allocated",
        block.name
    );

    let mut content = vec![0; common::size(block.page_size)];
    let zero = content.clone();
    let mut filled = 0;
    for page in &fillable {
        let offset = block.pages_offset + page * block.page_size;
        found.read_exact_at(&mut content, offset).expect("a page");
        let is_filled = content == zero && units(page).all(|unit| units_found.contains(&unit));
        expected.read_exact_at(&mut content, offset).expect("a page");
        let was_there = content == zero && units(page).all(|unit| units_expected.contains(&unit));
        if is_filled && !was_there {
            expected.write_all_at(&zero, offset).expect("zeros");
            filled += 1;
        }
    }
    let data = (0..block.pages.len() as u64)
        .filter(|page| common::naive::is_set(expected, block, *page))
        .count() as u64;
    assert!(
        filled * 8 <= data,
        "{}: {filled} pages of zeros for {data} of data",
        block.name
    );
}

/// Lists the clear pages of gaps of at most 32 KiB between set pages of one request.
fn fillable(case: &Case, block: &Block, expected: &File) -> BTreeSet<u64> {
    let pages = block.pages.len() as u64;
    let in_request = case.request_size() / block.page_size;
    let is_set = |page: &u64| common::naive::is_set(expected, block, *page);
    let mut found = BTreeSet::new();
    for page in (0..pages).filter(|page| !is_set(page)) {
        let request = page - page % in_request..(page - page % in_request + in_request).min(pages);
        let before = (request.start..page).rev().find(|page| is_set(page));
        let after = (page..request.end).find(|page| is_set(page));
        if let (Some(before), Some(after)) = (before, after)
            && (after - before - 1) * block.page_size <= 32 * KIB
        {
            found.insert(page);
        }
    }
    found
}

fn load_equals(case: &Case) {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = case.blocks();
    let snapshot = TestFile::new(directory.path(), "snapshot", case.snapshot);
    let mut data_pages = 0;
    for block in &blocks {
        block.fill_snapshot(&snapshot.file, case.stale);
        data_pages += block.pages.iter().filter(|page| **page == Page::Data).count() as u64;
    }
    let sink = |block: &Block, place: Place, name: &str| {
        let file = TestFile::new(directory.path(), &format!("{}.{name}", block.name), place);
        if !block.memory_is_zero {
            let length = block.memory_offset + block.length();
            file.file
                .write_all_at(&vec![0x5a; common::size(length)], 0)
                .expect("old contents");
            surround(&file.file, block);
        } else if place == Place::Buffer {
            // A buffer cannot grow.
            file.file
                .set_len(block.memory_offset + block.length())
                .expect("a size");
        }
        TestMemory::new(file)
    };
    let pairs: Vec<(TestMemory, TestMemory)> = blocks
        .iter()
        .zip(&case.shapes)
        .map(|(block, shape)| {
            let expected = sink(block, shape.memory, "expected");
            common::naive::load(&snapshot.file, &expected.file.file, block);
            (sink(block, shape.memory, "found"), expected)
        })
        .collect();

    let mut plan = case.plan(Direction::Load, directory.path(), &snapshot);
    plan.regions = blocks
        .iter()
        .zip(&pairs)
        .map(|(block, (found, _))| block.region(found.spec()))
        .collect();
    case.run(plan, &blocks, data_pages);

    for (block, (found, expected)) in blocks.iter().zip(&pairs) {
        common::assert_same(&block.name, &found.contents(), &expected.file.contents());
        if !found.is_buffer() {
            assert_allocation(block, &found.file.file, &expected.file.file);
        }
    }
}

/// Empty memory gets no more than the pages that are set. In other memory the clear pages become holes, where the
/// oracle has written zeros.
fn assert_allocation(block: &Block, found: &File, expected: &File) {
    let range = block.memory_offset..block.memory_offset + block.length();
    let units = common::data_units(found, range.clone());
    let mut allowed = common::data_units(expected, range.clone());
    if block.memory_is_zero {
        assert_eq!(units, allowed, "allocated parts of {}", block.name);
        return;
    }
    // A clear page that covers whole units frees them.
    let freed: BTreeSet<u64> = (0..)
        .zip(&block.pages)
        .filter(|(_, page)| **page != Page::Data)
        .flat_map(|(index, _)| {
            let start = block.memory_offset + index * block.page_size;
            start.div_ceil(4096)..(start + block.page_size) / 4096
        })
        .collect();
    allowed.retain(|unit| !freed.contains(unit));
    assert!(
        units.is_subset(&allowed),
        "{}: clear pages are allocated: {:?}",
        block.name,
        units.difference(&allowed).collect::<Vec<_>>()
    );
}

/// A block that fills three requests and starts 4096 bytes into the file.
fn split_case(alignment: Option<u32>, engine: IoEngine) -> Case {
    Case {
        page_size: 4096,
        shapes: vec![Shape {
            share: 1000,
            pattern: Pattern::AllData,
            seed: 7,
            memory: Place::Memfd,
            memory_offset: 0,
            store_zero_pages: false,
            memory_is_zero: true,
        }],
        layout: Layout::Block,
        snapshot: Place::Disk,
        stale: false,
        channels: 1,
        depth: 4,
        request_pages: 64,
        engine,
        direct: true,
        alignment,
    }
}

#[test]
fn what_cannot_be_aligned_goes_through_the_buffered_descriptor() {
    for engine in common::engines() {
        let directory = tempfile::tempdir().unwrap();
        if common::direct_io(directory.path()) == DirectIo::Off {
            common::skipped(
                "head, middle and tail",
                "the temporary directory has no direct I/O",
            );
            return;
        }
        let case = split_case(Some(65536), engine);
        let block = case.blocks().remove(0);
        let memory = source(directory.path(), &block, Place::Memfd);
        let found = TestFile::new(directory.path(), "found", Place::Disk);
        let mut plan = case.plan(Direction::Save, directory.path(), &found);
        plan.regions = vec![block.region(memory.spec())];
        let spy = Spy::default();
        spy.run(Transfer::new(plan), engine).unwrap();

        let end = block.pages_offset + 256 * KIB;
        let first: Vec<_> = spy
            .requests()
            .iter()
            .take(3)
            .map(|request| (request.target, request.offset, request.length as u64))
            .collect();
        assert_eq!(block.pages_offset, 8192);
        assert_eq!(
            first,
            [
                (Target::Buffered, 8192, 65536 - 8192),
                (Target::Direct, 65536, 3 * 65536),
                (Target::Buffered, 4 * 65536, end - 4 * 65536),
            ]
        );
    }
}

#[test]
fn aligned_pages_go_through_the_direct_descriptor_and_bitmaps_do_not() {
    for engine in common::engines() {
        let directory = tempfile::tempdir().unwrap();
        if common::direct_io(directory.path()) == DirectIo::Off {
            common::skipped("direct requests", "the temporary directory has no direct I/O");
            return;
        }
        let case = split_case(None, engine);
        let block = case.blocks().remove(0);
        let memory = source(directory.path(), &block, Place::Memfd);
        let found = TestFile::new(directory.path(), "found", Place::Disk);
        let mut plan = case.plan(Direction::Save, directory.path(), &found);
        plan.regions = vec![block.region(memory.spec())];
        let spy = Spy::default();
        let report = spy.run(Transfer::new(plan), engine).unwrap();
        assert!(report.direct_io.on, "{}", report.direct_io.why);
        let requests = spy.requests();
        let (bitmap, pages) = requests.split_last().unwrap();
        assert!(
            pages.iter().all(|request| request.target == Target::Direct),
            "{pages:?}"
        );
        assert_eq!(
            (bitmap.target, bitmap.offset),
            (Target::Buffered, block.bitmap_offset)
        );
    }
}

/// A buffered write of a part of a filesystem block reads the rest of the block first and writes all of it back later.
/// That could undo a direct write of the rest that is under way meanwhile.
#[test]
fn buffered_and_direct_writes_never_share_a_block() {
    for engine in common::engines() {
        let directory = tempfile::tempdir().unwrap();
        let case = Case {
            page_size: 512,
            layout: Layout::Page,
            channels: 4,
            ..split_case(Some(1024), engine)
        };
        let block = case.blocks().remove(0);
        assert_eq!(block.pages_offset % 1024, 512, "the first page is not aligned");
        let memory = source(directory.path(), &block, Place::Memfd);
        let found = TestFile::new(directory.path(), "found", Place::Disk);
        let mut plan = case.plan(Direction::Save, directory.path(), &found);
        plan.regions = vec![block.region(memory.spec())];
        let spy = Spy::default();
        spy.run(Transfer::new(plan), engine).unwrap();

        let units = |target: Target| -> BTreeSet<u64> {
            spy.requests()
                .iter()
                .filter(|request| request.target == target && request.offset >= block.pages_offset)
                .flat_map(|request| {
                    request.offset / 4096..(request.offset + request.length as u64).div_ceil(4096)
                })
                .collect()
        };
        let shared: Vec<u64> = units(Target::Buffered)
            .intersection(&units(Target::Direct))
            .copied()
            .collect();
        assert!(shared.is_empty(), "written both ways: {shared:?}");
    }
}

/// A block of more than 32 GiB has such a bitmap with requests of a MiB.
#[test]
fn a_bitmap_may_be_larger_than_a_request() {
    // A request of 4096 bytes holds the bits of this many pages.
    const BITS: usize = 4096 * 8;
    for engine in common::engines() {
        let directory = tempfile::tempdir().unwrap();
        let mut pages = vec![Page::Hole; 3 * BITS + 70];
        for at in [0, BITS - 1, BITS, 2 * BITS - 1, 3 * BITS, 3 * BITS + 69] {
            pages[at] = Page::Data;
        }
        let block = Block {
            name: "ram".to_owned(),
            page_size: 512,
            pages,
            seed: 1,
            memory_offset: 0,
            pages_offset: MIB,
            bitmap_offset: 4096,
            store_zero_pages: false,
            memory_is_zero: true,
        };
        let memory = source(directory.path(), &block, Place::Memfd);
        let expected = TestFile::new(directory.path(), "expected", Place::Memfd);
        common::naive::save(&memory.file.file, &expected.file, &block);
        let found = TestFile::new(directory.path(), "found", Place::Disk);
        let loaded = TestMemory::new(TestFile::new(directory.path(), "loaded", Place::Memfd));
        let plan = |direction: Direction, memory: &TestMemory| Plan {
            tuning: Tuning {
                channels: Some(3),
                queue_depth: 2,
                request_size: 4096,
                direct_io: common::direct_io(directory.path()),
                ..Tuning::default()
            },
            ..Plan::new(direction, found.snapshot(), vec![block.region(memory.spec())])
        };

        let spy = Spy::default();
        spy.run(Transfer::new(plan(Direction::Save, &memory)), engine)
            .unwrap();
        common::assert_same("snapshot", &found.contents(), &expected.contents());
        let bitmap: Vec<_> = spy
            .requests()
            .iter()
            .filter(|request| request.offset < MIB)
            .map(|request| (request.target, request.offset, request.length))
            .collect();
        assert_eq!(
            bitmap,
            [
                (Target::Buffered, 4096, 4096),
                (Target::Buffered, 8192, 4096),
                (Target::Buffered, 12288, 4096),
                (Target::Buffered, 16384, 16),
            ]
        );

        Spy::default()
            .run(Transfer::new(plan(Direction::Load, &loaded)), engine)
            .unwrap();
        let memory = memory.contents();
        common::assert_same(
            "memory",
            &loaded.contents(),
            &memory[..common::size(block.length())],
        );
    }
}

#[test]
fn regions_may_share_one_memory_file() {
    let directory = tempfile::tempdir().unwrap();
    let case = Case {
        shapes: vec![split_case(None, IoEngine::Auto).shapes.remove(0); 3],
        ..split_case(None, IoEngine::Auto)
    };
    let mut blocks = case.blocks();
    let mut end = 0;
    let file = TestFile::new(directory.path(), "memory", Place::Disk);
    for (seed, block) in (1..).zip(&mut blocks) {
        block.seed = seed;
        block.memory_offset = end;
        end += block.length();
        block.fill_memory(&file.file);
    }
    let memory = TestMemory::new(file);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let mut plan = case.plan(Direction::Save, directory.path(), &snapshot);
    plan.regions = blocks.iter().map(|block| block.region(memory.spec())).collect();
    Transfer::new(plan).run().unwrap();

    let restored = TestMemory::new(TestFile::new(directory.path(), "restored", Place::Disk));
    let mut plan = case.plan(Direction::Load, directory.path(), &snapshot);
    plan.regions = blocks.iter().map(|block| block.region(restored.spec())).collect();
    Transfer::new(plan).run().unwrap();
    common::assert_same("memory", &restored.contents(), &memory.contents());
}

#[test]
fn no_channel_is_made_that_finds_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let case = Case {
        channels: 16,
        ..split_case(None, IoEngine::Auto)
    };
    let block = case.blocks().remove(0);
    let memory = source(directory.path(), &block, Place::Memfd);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let mut plan = case.plan(Direction::Save, directory.path(), &snapshot);
    plan.regions = vec![block.region(memory.spec())];
    let report = Transfer::new(plan).run().unwrap();
    assert_eq!(report.channels as u64, block.length().div_ceil(256 * KIB));

    let nothing = case.plan(Direction::Save, directory.path(), &snapshot);
    let report = Transfer::new(nothing).run().unwrap();
    assert_eq!((report.channels, report.bytes), (0, 0));
}

#[test]
fn small_blocks_share_a_channel() {
    let directory = tempfile::tempdir().unwrap();
    let case = Case {
        channels: 16,
        shapes: vec![
            Shape {
                share: 90,
                ..split_case(None, IoEngine::Auto).shapes.remove(0)
            };
            5
        ],
        request_pages: 256,
        ..split_case(None, IoEngine::Auto)
    };
    let mut blocks = case.blocks();
    let file = TestFile::new(directory.path(), "memory", Place::Disk);
    let mut end = 0;
    for block in &mut blocks {
        block.memory_offset = end;
        end += block.length();
        block.fill_memory(&file.file);
    }
    let memory = TestMemory::new(file);
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    // Who asks for channels gets as many as there are requests.
    for (channels, expected) in [(None, 1), (Some(16), blocks.len())] {
        let mut plan = case.plan(Direction::Save, directory.path(), &snapshot);
        plan.regions = blocks.iter().map(|block| block.region(memory.spec())).collect();
        plan.tuning.channels = channels;
        assert!(
            end <= plan.tuning.request_size as u64,
            "the blocks are too large for this: {end} bytes"
        );
        let report = Transfer::new(plan).run().unwrap();
        assert_eq!(report.channels, expected);
    }
}
