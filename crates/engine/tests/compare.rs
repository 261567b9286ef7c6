//! Comparisons against a page-at-a-time loop: the same answer for every page, whatever the plan.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::process::{Holdings, alone};
use common::{KIB, MIB, Noise, Place, TestFile, TestMemory};
use mapped_ram_engine::compare::Right;
use mapped_ram_engine::file::PageArea;
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::queue::QueueFactory;
use mapped_ram_engine::queue::{self, Completion, Queue, Request};
use mapped_ram_engine::{
    CancelToken, ComparePlan, Compared, Comparison, DirectIo, EngineError, ErrorKind, IoEngine, Report,
    Tuning,
};
use proptest::prelude::*;

/// The contents of a page on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Clear,
    /// A page of zeros that is in the file.
    Zero,
    /// The same data as on the other side, where that has it too.
    Common,
    /// Data that differs from `Common` in one byte.
    Own,
}

const CELLS: [Cell; 4] = [Cell::Clear, Cell::Zero, Cell::Common, Cell::Own];

/// The alignment of page areas.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Qemu,
    Block,
    Page,
    Odd,
}

#[derive(Debug, Clone, Copy)]
enum Against {
    Snapshot(Place),
    Memory { place: Place, offset: u64 },
}

#[derive(Debug, Clone)]
struct Shape {
    pages: u64,
    seed: u64,
    /// The share of pages that are alike on both sides, in thousandths.
    alike: u64,
}

#[derive(Debug, Clone)]
struct Case {
    page_size: u64,
    shapes: Vec<Shape>,
    layouts: [Layout; 2],
    against: Against,
    /// True when there are bytes below clear bits, and ones beyond the last bit.
    stale: bool,
    channels: u64,
    depth: u64,
    request_pages: u64,
    engine: IoEngine,
    direct: bool,
    alignment: Option<u32>,
}

/// A block of a case, with the pages of both sides.
struct Block {
    page_size: u64,
    seed: u64,
    left: Vec<Cell>,
    right: Vec<Cell>,
}

impl Block {
    fn new(shape: &Shape, page_size: u64, request_pages: u64) -> Self {
        let mut noise = Noise::new(shape.seed);
        let lengths = [1, 1, 2, 31, 63, 64, 65, request_pages, request_pages + 1];
        let mut side = |other: Option<&[Cell]>| {
            let mut cells = Vec::new();
            while (cells.len() as u64) < shape.pages {
                let cell = CELLS[common::size(noise.below(4))];
                for _ in 0..lengths[common::size(noise.below(9))] {
                    let alike = other
                        .and_then(|other| other.get(cells.len()))
                        .filter(|_| noise.below(1000) < shape.alike);
                    cells.push(*alike.unwrap_or(&cell));
                }
            }
            cells.truncate(common::size(shape.pages));
            cells
        };
        let left = side(None);
        let right = side(Some(&left));
        Self {
            page_size,
            seed: shape.seed,
            left,
            right,
        }
    }

    fn length(&self) -> u64 {
        self.left.len() as u64 * self.page_size
    }

    fn content(&self, page: u64, cell: Cell, side: u8) -> Vec<u8> {
        let mut bytes = vec![0; common::size(self.page_size)];
        let mut noise = Noise::new(self.seed ^ page);
        let at = common::size(noise.below(self.page_size));
        match cell {
            Cell::Clear | Cell::Zero => {}
            // These pages are the hardest to tell from zero pages, and from each other.
            Cell::Common if page.is_multiple_of(3) => bytes[at] = 7,
            Cell::Own if page.is_multiple_of(3) => bytes[at] = 1 + side,
            Cell::Common | Cell::Own => {
                noise.fill(&mut bytes);
                bytes[0] = 7;
                bytes[at] = if cell == Cell::Own { 1 + side } else { 7 };
            }
        }
        bytes
    }

    fn write(&self, file: &File, at: PageArea, cells: &[Cell], side: u8, stale: bool) {
        let mut bitmap = vec![0_u8; cells.len().div_ceil(64) * 8];
        if stale {
            let garbage = vec![0xee; common::size(self.length())];
            file.write_all_at(&garbage, at.pages_offset).expect("garbage");
            for unused in cells.len()..bitmap.len() * 8 {
                bitmap[unused / 8] |= 1 << (unused % 8);
            }
        }
        for (page, cell) in (0..).zip(cells) {
            if *cell != Cell::Clear {
                bitmap[common::size(page / 8)] |= 1 << (page % 8);
                let offset = at.pages_offset + page * self.page_size;
                file.write_all_at(&self.content(page, *cell, side), offset)
                    .expect("a page");
            }
        }
        file.write_all_at(&bitmap, at.bitmap_offset).expect("a bitmap");
    }

    /// Writes the right side as guest memory: clear pages are holes.
    fn write_memory(&self, file: &File, offset: u64) {
        file.set_len(offset + self.length()).expect("a size");
        if offset > 0 {
            file.write_all_at(&vec![0xee; common::size(offset)], 0)
                .expect("what lies before");
        }
        for (page, cell) in (0..).zip(&self.right) {
            if *cell != Cell::Clear {
                file.write_all_at(&self.content(page, *cell, 1), offset + page * self.page_size)
                    .expect("a page of memory");
            }
        }
    }

    /// Compares page by page, by a loop that looks at the files as they are.
    fn expected(&self, left: (&File, PageArea), right: (&File, Option<PageArea>, u64)) -> Vec<u8> {
        let page_at = |file: &File, offset: u64| {
            let mut bytes = vec![0; common::size(self.page_size)];
            file.read_exact_at(&mut bytes, offset).expect("a page");
            bytes
        };
        let from_snapshot = |file: &File, at: PageArea, page: u64| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at.bitmap_offset + page / 8)
                .expect("a byte of the bitmap");
            (byte[0] >> (page % 8) & 1 == 1).then(|| page_at(file, at.pages_offset + page * self.page_size))
        };
        common::naive::compare(
            self.page_size,
            self.left.len() as u64,
            |page| from_snapshot(left.0, left.1, page),
            |page| match right.1 {
                Some(at) => from_snapshot(right.0, at, page),
                None => Some(page_at(right.0, right.2 + page * self.page_size)),
            },
        )
    }
}

fn places(blocks: &[Block], layout: Layout) -> Vec<PageArea> {
    let mut end = 4096;
    let mut places = Vec::new();
    for block in blocks {
        let bitmap_offset = end;
        let after = bitmap_offset + block.left.len().div_ceil(64) as u64 * 8;
        let pages_offset = match layout {
            Layout::Qemu => after.next_multiple_of(MIB),
            Layout::Block => after.next_multiple_of(4096),
            Layout::Page => after.next_multiple_of(block.page_size),
            Layout::Odd => after + 100,
        };
        end = pages_offset + block.length();
        places.push(PageArea {
            pages_offset,
            bitmap_offset,
            length: block.length(),
            page_size: block.page_size,
        });
    }
    places
}

/// Gives a byte for each page.
fn answers(bytes: &[u8], pages: usize) -> Vec<u8> {
    (0..pages)
        .map(|page| bytes[page / 4] >> (2 * (page % 4)) & 3)
        .collect()
}

fn compare_equals(case: &Case) {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks: Vec<Block> = case
        .shapes
        .iter()
        .map(|shape| Block::new(shape, case.page_size, case.request_pages))
        .collect();
    let [left_at, right_at] = case.layouts.map(|layout| places(&blocks, layout));
    let left = TestFile::new(directory.path(), "left", Place::Disk);
    for (block, at) in blocks.iter().zip(&left_at) {
        block.write(&left.file, *at, &block.left, 0, case.stale);
    }
    let mut expected = Vec::new();
    let mut compared = Vec::new();
    let mut memories = Vec::new();
    let mut right_snapshot = None;
    let name = |index: usize| format!("block{index}");
    match case.against {
        Against::Snapshot(place) => {
            let right = TestFile::new(directory.path(), "right", place);
            for (index, block) in blocks.iter().enumerate() {
                block.write(&right.file, right_at[index], &block.right, 1, case.stale);
                let seen = (&right.file, Some(right_at[index]), 0);
                expected.push(block.expected((&left.file, left_at[index]), seen));
                compared.push(Compared {
                    name: name(index),
                    left: left_at[index],
                    right: Right::Pages(right_at[index]),
                });
            }
            right_snapshot = Some(right);
        }
        Against::Memory { place, offset } => {
            for (index, block) in blocks.iter().enumerate() {
                let file = TestFile::new(directory.path(), &name(index), place);
                block.write_memory(&file.file, offset);
                let seen = (&file.file, None, offset);
                expected.push(block.expected((&left.file, left_at[index]), seen));
                let memory = TestMemory::new(file);
                compared.push(Compared {
                    name: name(index),
                    left: left_at[index],
                    right: Right::Memory {
                        memory: memory.spec(),
                        offset,
                    },
                });
                memories.push(memory);
            }
        }
    }
    let plan = ComparePlan {
        tuning: Tuning {
            channels: Some(common::size(case.channels)),
            queue_depth: common::size(case.depth),
            request_size: common::size(case.request_pages * case.page_size),
            io_engine: case.engine,
            direct_io: if case.direct {
                DirectIo::Auto
            } else {
                DirectIo::Off
            },
            alignment: case.alignment,
        },
        ..ComparePlan::new(
            left.snapshot(),
            right_snapshot.as_ref().map(TestFile::snapshot),
            compared,
        )
    };
    let comparison = Comparison::new(plan);
    let progress = comparison.controls().progress;
    let total: u64 = blocks.iter().map(Block::length).sum();
    assert_eq!(progress.total(), total, "total before the comparison begins");
    let outcome = comparison.run().expect("the comparison succeeds");
    let found: Vec<Vec<u8>> = outcome
        .differences
        .into_iter()
        .zip(&blocks)
        .map(|(differences, block)| answers(&differences.into_bytes(), block.left.len()))
        .collect();
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        common::assert_same(&name(index), found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let bytes: u64 = blocks.iter().map(Block::length).sum();
    assert_eq!(outcome.report.bytes, bytes, "bytes in the report");
    assert_eq!(
        (progress.total(), progress.done()),
        (bytes, bytes),
        "all of it done"
    );
    let set = |cells: &[Cell]| cells.iter().filter(|cell| **cell != Cell::Clear).count() as u64;
    let pages: u64 = blocks
        .iter()
        .map(|block| set(&block.left) + right_snapshot.as_ref().map_or(0, |_| set(&block.right)))
        .sum();
    assert_eq!(
        outcome.report.data_bytes,
        pages * case.page_size,
        "set pages in the report"
    );
}

fn against() -> impl Strategy<Value = Against> {
    let place = |more: &[Place]| {
        proptest::sample::select([&[Place::Disk, Place::DiskDescriptor, Place::Memfd], more].concat())
    };
    prop_oneof![
        3 => place(&[]).prop_map(Against::Snapshot),
        2 => (place(&[Place::Buffer]), proptest::sample::select(vec![0, 4096, MIB, 100]))
            .prop_map(|(place, offset)| Against::Memory { place, offset }),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    proptest::sample::select(vec![Layout::Qemu, Layout::Block, Layout::Page, Layout::Odd])
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (
        1_u64..=400,
        any::<u64>(),
        proptest::sample::select(vec![0, 500, 950, 1000]),
    )
        .prop_map(|(pages, seed, alike)| Shape { pages, seed, alike });
    (
        (
            proptest::sample::select(vec![4096_u64, 4096, 512, 256, 16 * KIB]),
            proptest::collection::vec(shape, 1..=3),
            [layout(), layout()],
            against(),
            any::<bool>(),
        ),
        1_u64..=6,
        1_u64..=8,
        prop_oneof![1_u64..=8, Just(64_u64)],
        proptest::sample::select(common::engines()),
        any::<bool>(),
        proptest::sample::select(vec![None, None, Some(65536), Some(1024)]),
    )
        .prop_map(
            |(
                (page_size, shapes, layouts, against, stale),
                channels,
                depth,
                request_pages,
                engine,
                direct,
                alignment,
            )| Case {
                page_size,
                shapes,
                layouts,
                against,
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

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(80),
        // A failure prints the plan it shrank to; the tree stays clean.
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_comparison_equals_the_oracles(case in case()) {
        let _turn = alone();
        compare_equals(&case);
    }
}

/// Two snapshots with one block, some of it different.
struct Pair {
    directory: tempfile::TempDir,
    left: TestFile,
    right: TestFile,
    at: PageArea,
    block: Block,
}

impl Pair {
    fn new(pages: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let shape = Shape {
            pages,
            seed: 1,
            alike: 500,
        };
        let block = Block::new(&shape, 4096, 4);
        let at = PageArea {
            pages_offset: 64 * KIB,
            bitmap_offset: 4096,
            length: block.length(),
            page_size: block.page_size,
        };
        let left = TestFile::new(directory.path(), "left", Place::Disk);
        let right = TestFile::new(directory.path(), "right", Place::Disk);
        block.write(&left.file, at, &block.left, 0, true);
        block.write(&right.file, at, &block.right, 1, true);
        Self {
            directory,
            left,
            right,
            at,
            block,
        }
    }

    fn plan(&self, right: &TestFile) -> ComparePlan {
        ComparePlan {
            tuning: Tuning {
                channels: Some(2),
                queue_depth: 3,
                request_size: common::size(16 * KIB),
                ..Tuning::default()
            },
            ..ComparePlan::new(
                self.left.snapshot(),
                Some(right.snapshot()),
                vec![Compared {
                    name: "ram".to_owned(),
                    left: self.at,
                    right: Right::Pages(self.at),
                }],
            )
        }
    }

    fn expected(&self) -> Vec<u8> {
        self.block
            .expected((&self.left.file, self.at), (&self.right.file, Some(self.at), 0))
    }

    fn answers(&self, plan: ComparePlan) -> Result<(Vec<u8>, Report), EngineError> {
        let outcome = Comparison::new(plan).run()?;
        let differences = outcome.differences.into_iter().next().expect("one block");
        let found = answers(&differences.into_bytes(), self.block.left.len());
        Ok((found, outcome.report))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Sets the length of both sides.
fn set_length(block: &mut Compared, length: u64) {
    block.left.length = length;
    if let Right::Pages(area) = &mut block.right {
        area.length = length;
    }
}

#[test]
fn a_snapshot_equals_itself() {
    let _turn = alone();
    let pair = Pair::new(300);
    for engine in common::engines() {
        let mut plan = pair.plan(&pair.left);
        plan.tuning.io_engine = engine;
        let (found, report) = pair.answers(plan).unwrap();
        assert!(found.iter().all(|answer| *answer == 0));
        assert!(report.data_bytes > 0);
    }
}

#[test]
fn a_plan_that_cannot_be_is_refused() {
    let _turn = alone();
    let pair = Pair::new(8);
    let refused = |plan: ComparePlan| Comparison::new(plan).run().unwrap_err();
    let mut plan = pair.plan(&pair.right);
    plan.right = None;
    assert_eq!(refused(plan).kind(), ErrorKind::InvalidArgument);
    let mut plan = pair.plan(&pair.right);
    plan.blocks[0].left.length += 1;
    assert_eq!(refused(plan).kind(), ErrorKind::InvalidArgument);
    let mut plan = pair.plan(&pair.right);
    set_length(&mut plan.blocks[0], u64::MAX - 4095);
    assert_eq!(refused(plan).kind(), ErrorKind::OutOfRange);
    let mut plan = pair.plan(&pair.right);
    plan.blocks[0].left.length += 4096;
    let error = refused(plan);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("on the right as on the left"), "{error}");
    let mut plan = pair.plan(&pair.right);
    plan.blocks[0].left.page_size = 512;
    let error = refused(plan);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("expected the page size 512"), "{error}");
    for side in [false, true] {
        let mut plan = pair.plan(&pair.right);
        let beyond = PageArea {
            pages_offset: u64::MAX - 4096,
            ..pair.at
        };
        if side {
            plan.blocks[0].right = Right::Pages(beyond);
        } else {
            plan.blocks[0].left = beyond;
        }
        assert_eq!(refused(plan).kind(), ErrorKind::OutOfRange);
    }
    let mut plan = pair.plan(&pair.right);
    plan.tuning.channels = Some(65);
    assert_eq!(refused(plan).kind(), ErrorKind::OutOfRange);
}

#[test]
fn what_a_file_lacks_is_an_error_that_names_it() {
    let _turn = alone();
    let pair = Pair::new(64);
    // The bitmap is set to its last page.
    pair.right.file.write_all_at(&[0xff; 8], 4096).unwrap();
    let whole = 64 * KIB + pair.block.length();
    pair.right.file.set_len(whole).unwrap();
    pair.answers(pair.plan(&pair.right)).unwrap();
    for size in [whole - 1, 4096 + 7] {
        pair.right.file.set_len(size).unwrap();
        let error = pair.answers(pair.plan(&pair.right)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert_eq!(error.path(), pair.path().join("right").to_str());
    }
    // A length that is a lie costs no memory.
    let mut plan = pair.plan(&pair.right);
    set_length(&mut plan.blocks[0], 1 << 60);
    let error = pair.answers(plan).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");

    let memory = TestFile::new(pair.path(), "memory", Place::Disk);
    memory.file.set_len(pair.block.length() - 1).unwrap();
    let mut plan = pair.plan(&pair.right);
    plan.right = None;
    plan.blocks[0].right = Right::Memory {
        memory: MemorySpec::File(memory.source()),
        offset: 0,
    };
    let error = pair.answers(plan).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    assert_eq!(error.path(), pair.path().join("memory").to_str());
}

#[cfg(feature = "faulty")]
mod faults {
    use mapped_ram_engine::queue::faulty::{Fault, FaultyQueue, Script};
    use rustix::io::Errno;

    use super::*;

    /// Runs a comparison whose queues follow a script, and says how many requests there were.
    fn run(
        pair: &Pair,
        engine: IoEngine,
        direct_io: DirectIo,
        script: &Script,
    ) -> Result<Vec<u8>, EngineError> {
        let factory: &QueueFactory<'_> = &|count, file, options| {
            let (queues, state) = queue::make_queues(engine, count, file, options)?;
            let faulty = queues
                .into_iter()
                .map(|inner| Box::new(FaultyQueue::new(inner, script.clone())) as Box<dyn Queue>)
                .collect();
            Ok((faulty, state))
        };
        let mut plan = pair.plan(&pair.right);
        plan.tuning.io_engine = engine;
        plan.tuning.direct_io = direct_io;
        let outcome = Comparison::new(plan).run_with(factory)?;
        let differences = outcome.differences.into_iter().next().expect("one block");
        Ok(answers(&differences.into_bytes(), pair.block.left.len()))
    }

    fn setups(pair: &Pair) -> Vec<(IoEngine, DirectIo)> {
        let direct = common::direct_io(pair.path());
        common::engines()
            .into_iter()
            .flat_map(|engine| [(engine, DirectIo::Off), (engine, direct)])
            .collect()
    }

    #[test]
    fn what_goes_wrong_at_any_request_is_made_good_or_reported() {
        let _turn = alone();
        let pair = Pair::new(40);
        let expected = pair.expected();
        for (engine, direct_io) in setups(&pair) {
            let count = Script::default();
            assert_eq!(run(&pair, engine, direct_io, &count).unwrap(), expected);
            assert!(count.submitted() > 8);
            for number in 0..count.submitted() {
                for fault in [
                    Fault::Short(1),
                    Fault::Short(5000),
                    Fault::Errno(Errno::AGAIN.raw_os_error()),
                    Fault::Errno(Errno::INTR.raw_os_error()),
                    Fault::Delay,
                ] {
                    let found = run(&pair, engine, direct_io, &Script::new(Some(fault), [number]));
                    assert_eq!(found.unwrap(), expected, "{fault:?} at {number}");
                }
                for fault in [
                    Fault::Errno(Errno::IO.raw_os_error()),
                    Fault::Submit(Errno::IO.raw_os_error()),
                    Fault::Wait(Errno::IO.raw_os_error()),
                    Fault::Panic,
                ] {
                    let before = Holdings::idle();
                    let error =
                        run(&pair, engine, direct_io, &Script::new(Some(fault), [number])).unwrap_err();
                    let kind = if fault == Fault::Panic {
                        ErrorKind::Internal
                    } else {
                        ErrorKind::Io
                    };
                    assert_eq!(error.kind(), kind, "{fault:?} at {number}: {error}");
                    if fault != Fault::Panic {
                        assert!(
                            error
                                .path()
                                .is_some_and(|path| path.ends_with("left") || path.ends_with("right")),
                            "{error}"
                        );
                    }
                    before.assert_again("a comparison that failed");
                }
            }
        }
    }

    #[test]
    fn completions_may_come_in_any_order() {
        let _turn = alone();
        let pair = Pair::new(200);
        let expected = pair.expected();
        for (engine, direct_io) in setups(&pair) {
            let mut script = Script::default();
            script.reorder = true;
            assert_eq!(run(&pair, engine, direct_io, &script).unwrap(), expected);
            let short = Script::new(Some(Fault::Short(4096)), []);
            assert_eq!(run(&pair, engine, direct_io, &short).unwrap(), expected);
        }
    }
}

#[test]
fn nothing_to_compare_is_no_error() {
    let _turn = alone();
    let pair = Pair::new(8);
    for engine in common::engines() {
        let mut plan = pair.plan(&pair.right);
        plan.tuning.io_engine = engine;
        set_length(&mut plan.blocks[0], 0);
        let outcome = Comparison::new(plan).run().unwrap();
        assert_eq!((outcome.report.bytes, outcome.report.channels), (0, 0));
        assert_eq!(outcome.differences.len(), 1);
        let mut plan = pair.plan(&pair.right);
        plan.tuning.io_engine = engine;
        plan.blocks.clear();
        assert!(Comparison::new(plan).run().unwrap().differences.is_empty());
    }
}

#[test]
fn without_queues_for_the_right_file_those_of_the_left_are_given_back() {
    let _turn = alone();
    let pair = Pair::new(400);
    for engine in common::engines() {
        let before = Holdings::idle();
        let factory: &QueueFactory<'_> = &|count, file, options| {
            if file.name.ends_with("right") {
                return Err(EngineError::new(ErrorKind::EngineUnavailable, "none left"));
            }
            queue::make_queues(engine, count, file, options)
        };
        let comparison = Comparison::new(pair.plan(&pair.right));
        let error = comparison.run_with(factory).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable, "{error}");
        before.assert_again("a comparison that did not start");
    }
}

#[test]
fn a_file_cut_off_while_it_is_compared_is_an_error_that_names_it() {
    let _turn = alone();
    for engine in common::engines() {
        let pair = Pair::new(400);
        let before = Holdings::idle();
        let factory: &QueueFactory<'_> = &|count, file, options| {
            // The plan has been checked by now.
            pair.right.file.set_len(64 * KIB + 4096).unwrap();
            queue::make_queues(engine, count, file, options)
        };
        let error = Comparison::new(pair.plan(&pair.right))
            .run_with(factory)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert_eq!(error.path(), pair.path().join("right").to_str());
        before.assert_again("a comparison with a file that was cut off");
    }
}

/// A queue that cancels when it has submitted so many requests.
#[derive(Debug)]
struct Cancelling {
    inner: Box<dyn Queue>,
    token: CancelToken,
    left: Arc<AtomicU64>,
}

impl Queue for Cancelling {
    fn start(&mut self) -> std::io::Result<()> {
        self.inner.start()
    }

    fn slot(&mut self, slot: usize) -> std::io::Result<&mut [u8]> {
        self.inner.slot(slot)
    }

    fn submit(&mut self, request: Request) -> std::io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.token.cancel();
        }
        self.inner.submit(request)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }

    fn wait(&mut self) -> std::io::Result<Completion> {
        self.inner.wait()
    }

    fn submissions(&self) -> u64 {
        self.inner.submissions()
    }
}

#[test]
fn a_comparison_cancelled_on_its_way_leaves_nothing_behind() {
    let _turn = alone();
    let pair = Pair::new(400);
    for engine in common::engines() {
        for requests in [1, 2, 5, 20, 60] {
            let before = Holdings::idle();
            let comparison = Comparison::new(pair.plan(&pair.right));
            let (token, progress) = (comparison.controls().cancel, comparison.controls().progress);
            let left = Arc::new(AtomicU64::new(requests));
            let factory: &QueueFactory<'_> = &|count, file, options| {
                let (queues, state) = queue::make_queues(engine, count, file, options)?;
                let cancelling = queues
                    .into_iter()
                    .map(|inner| {
                        Box::new(Cancelling {
                            inner,
                            token: token.clone(),
                            left: Arc::clone(&left),
                        }) as Box<dyn Queue>
                    })
                    .collect();
                Ok((cancelling, state))
            };
            let error = comparison.run_with(factory).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            assert!(progress.done() < progress.total());
            before.assert_again("a comparison that was cancelled");
        }
    }
}

#[test]
fn a_cancelled_comparison_leaves_nothing_behind() {
    let _turn = alone();
    let pair = Pair::new(400);
    for engine in common::engines() {
        let before = Holdings::idle();
        let mut plan = pair.plan(&pair.right);
        plan.tuning.io_engine = engine;
        let comparison = Comparison::new(plan);
        comparison.controls().cancel.cancel();
        assert_eq!(comparison.run().unwrap_err().kind(), ErrorKind::Cancelled);
        before.assert_again("a comparison that was cancelled");
    }
}
