//! Snapshots that are in no file: the same bytes, pages, digests and differences as with a file.

#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::memory_storage::{Fault, MemoryStorage};
use common::{Block, KIB, MIB, Page, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::compare::Right;
use mapped_ram_engine::digest::{PieceDigest, PieceDigests};
use mapped_ram_engine::file::{SnapshotSource, SnapshotSpec};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{
    ComparePlan, Compared, Comparison, DirectIo, Direction, EngineError, ErrorKind, IoEngine, Plan, Report,
    Transfer, Tuning,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Case {
    page_size: u64,
    pages: Vec<usize>,
    pattern: Pattern,
    seed: u64,
    memory_is_zero: bool,
    stale: bool,
    channels: usize,
    request_pages: u64,
    /// The most bytes that one call of the storage moves.
    most: usize,
}

impl Case {
    fn blocks(&self) -> Vec<Block> {
        let mut end = 4096;
        (0..)
            .zip(&self.pages)
            .map(|(index, pages)| {
                let bitmap_offset = end;
                let after = bitmap_offset + pages.div_ceil(64) as u64 * 8;
                // The pages are aligned to nothing, since nothing of a storage needs to be.
                let pages_offset = after + 100;
                end = pages_offset + *pages as u64 * self.page_size;
                Block {
                    name: format!("block{index}"),
                    page_size: self.page_size,
                    pages: self.pattern.pages(*pages, self.request_pages, self.seed ^ index),
                    seed: self.seed ^ index,
                    memory_offset: 100,
                    pages_offset,
                    bitmap_offset,
                    store_zero_pages: false,
                    memory_is_zero: self.memory_is_zero,
                }
            })
            .collect()
    }

    fn tuning(&self) -> Tuning {
        Tuning {
            channels: Some(self.channels),
            queue_depth: 3,
            request_size: common::size(self.request_pages * self.page_size),
            ..Tuning::default()
        }
    }

    fn run(&self, direction: Direction, snapshot: SnapshotSpec, blocks: &[(Block, MemorySpec)]) -> Report {
        let regions = blocks
            .iter()
            .map(|(block, memory)| block.region(memory.clone()))
            .collect();
        let plan = Plan {
            tuning: self.tuning(),
            ..Plan::new(direction, snapshot, regions)
        };
        Transfer::new(plan).run().expect("the transfer succeeds")
    }

    fn digests(&self, snapshot: SnapshotSpec, blocks: &[Block]) -> Vec<PieceDigest> {
        let piece_size = (self.page_size * 2).min(self.request_pages * self.page_size);
        let digests = Arc::new(PieceDigests::new(piece_size, self.page_size).expect("a piece size"));
        let regions = blocks
            .iter()
            .map(|block| block.region(MemorySpec::None))
            .collect();
        let plan = Plan {
            tuning: self.tuning(),
            ..Plan::new(Direction::Scan, snapshot, regions)
        };
        let transfer = Transfer::new(plan).visited_by(Arc::clone(&digests) as _);
        transfer.run().expect("the scan succeeds");
        digests.take()
    }

    fn differences(
        &self,
        left: SnapshotSpec,
        right: SnapshotSpec,
        blocks: (&[Block], &[Block]),
    ) -> Vec<Vec<u8>> {
        let compared = blocks.0.iter().zip(blocks.1).map(|(left, right)| Compared {
            name: left.name.clone(),
            left: left.area(),
            right: Right::Pages(right.area()),
        });
        let plan = ComparePlan {
            tuning: self.tuning(),
            ..ComparePlan::new(left, Some(right), compared.collect())
        };
        let outcome = Comparison::new(plan).run().expect("the comparison succeeds");
        let differences = outcome.differences.into_iter();
        differences.map(|block| block.into_bytes()).collect()
    }
}

fn spec(storage: &Arc<MemoryStorage>) -> SnapshotSpec {
    SnapshotSpec {
        source: SnapshotSource::Storage(Arc::clone(storage) as _),
        direct: None,
        name: String::new(),
    }
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop_oneof![Just(4096_u64), Just(512_u64), Just(256_u64)],
        proptest::collection::vec(1_usize..200, 1..=3),
        prop_oneof![
            Just(Pattern::AllHoles),
            Just(Pattern::AllData),
            Just(Pattern::Runs),
            Just(Pattern::Random)
        ],
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
        1_usize..=8,
        proptest::sample::select(vec![1_u64, 2, 16, 64]),
        prop_oneof![Just(usize::MAX), 1_usize..5000],
    )
        .prop_map(
            |(page_size, pages, pattern, seed, memory_is_zero, stale, channels, request_pages, most)| Case {
                page_size,
                pages,
                pattern,
                seed,
                memory_is_zero,
                stale,
                channels,
                request_pages,
                most,
            },
        )
}

/// Makes the memories of blocks: filled for a save, and for a load that finds something in them.
fn memories(directory: &Path, blocks: &[Block], name: &str, filled: bool) -> Vec<TestMemory> {
    blocks
        .iter()
        .map(|block| {
            let file = TestFile::new(directory, &format!("{}.{name}", block.name), Place::Memfd);
            file.file
                .set_len(block.memory_offset + block.length())
                .expect("a size");
            if filled {
                block.fill_memory(&file.file);
            }
            TestMemory::new(file)
        })
        .collect()
}

fn with(blocks: &[Block], memories: &[TestMemory]) -> Vec<(Block, MemorySpec)> {
    let pairs = blocks.iter().zip(memories);
    pairs
        .map(|(block, memory)| (block.clone(), memory.spec()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_save_into_a_storage_equals_the_oracles(case in case()) {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = case.blocks();
        let memories = memories(directory.path(), &blocks, "memory", true);
        let expected = TestFile::new(directory.path(), "expected", Place::Memfd);
        for (block, memory) in blocks.iter().zip(&memories) {
            common::naive::save(&memory.file.file, &expected.file, block);
        }
        let storage = Arc::new(MemoryStorage::shortening(Vec::new(), case.most));
        let report = case.run(Direction::Save, spec(&storage), &with(&blocks, &memories));
        prop_assert_eq!(report.io_engine.name, "threads");
        // A zero page at the end makes neither longer.
        common::assert_same("the storage", &storage.contents(), &expected.contents());
    }

    #[test]
    fn a_load_from_a_storage_equals_the_oracles(case in case()) {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = case.blocks();
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Memfd);
        for block in &blocks {
            block.fill_snapshot(&snapshot.file, case.stale);
        }
        let full = !case.memory_is_zero;
        let found = memories(directory.path(), &blocks, "found", full);
        let expected = memories(directory.path(), &blocks, "expected", full);
        for (block, memory) in blocks.iter().zip(&expected) {
            common::naive::load(&snapshot.file, &memory.file.file, block);
        }
        let storage = Arc::new(MemoryStorage::shortening(snapshot.contents(), case.most));
        case.run(Direction::Load, spec(&storage), &with(&blocks, &found));
        for (found, expected) in found.iter().zip(&expected) {
            common::assert_same("the memory", &found.contents(), &expected.contents());
        }
    }

    #[test]
    fn digests_and_differences_are_those_of_a_file(case in case(), other in any::<u64>()) {
        let directory = tempfile::tempdir().expect("a directory");
        let sides = [case.clone(), Case { seed: other, ..case.clone() }].map(|case| case.blocks());
        let [left, right] = [("left", &sides[0]), ("right", &sides[1])].map(|(name, blocks)| {
            let file = TestFile::new(directory.path(), name, Place::Memfd);
            for block in blocks {
                block.fill_snapshot(&file.file, case.stale);
            }
            let storage = Arc::new(MemoryStorage::shortening(file.contents(), case.most));
            (file, storage)
        });
        let digests = case.digests(left.0.snapshot(), &sides[0]);
        prop_assert_eq!(case.digests(spec(&left.1), &sides[0]), digests);
        let blocks = (sides[0].as_slice(), sides[1].as_slice());
        let expected = case.differences(left.0.snapshot(), right.0.snapshot(), blocks);
        for (one, two) in [
            (spec(&left.1), spec(&right.1)),
            (spec(&left.1), right.0.snapshot()),
            (left.0.snapshot(), spec(&right.1)),
        ] {
            prop_assert_eq!(&case.differences(one, two, blocks), &expected);
        }
    }
}

/// 64 pages of data, in a file and in a storage.
struct Small {
    directory: tempfile::TempDir,
    block: Block,
    bytes: Vec<u8>,
}

impl Small {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let block = Block {
            name: "ram".to_owned(),
            page_size: 4096,
            pages: vec![Page::Data; 64],
            seed: 1,
            memory_offset: 0,
            pages_offset: MIB,
            bitmap_offset: 4096,
            store_zero_pages: false,
            memory_is_zero: false,
        };
        let file = TestFile::new(directory.path(), "snapshot", Place::Memfd);
        block.fill_snapshot(&file.file, false);
        let bytes = file.contents();
        Self {
            directory,
            block,
            bytes,
        }
    }

    /// Loads into an empty memory. The second part of the result is its length afterwards.
    fn load(
        &self,
        storage: MemoryStorage,
        change: impl FnOnce(&mut Plan),
    ) -> (Result<Report, EngineError>, u64) {
        let name = format!("memory{}", common::names(self.directory.path()).len());
        let memory = TestFile::new(self.directory.path(), &name, Place::Disk);
        let region = self.block.region(MemorySpec::File(memory.source()));
        let mut plan = Plan::new(Direction::Load, spec(&Arc::new(storage)), vec![region]);
        plan.tuning.request_size = common::size(16 * KIB);
        change(&mut plan);
        let result = Transfer::new(plan).run();
        (result, memory.file.metadata().expect("its size").len())
    }

    /// The number of calls that reading all pages takes.
    fn calls(&self) -> u64 {
        let storage = Arc::new(MemoryStorage::new(self.bytes.clone()));
        let region = self.block.region(MemorySpec::None);
        let plan = Plan::new(Direction::Scan, spec(&storage), vec![region]);
        Transfer::new(plan).run().expect("the scan succeeds");
        storage.calls()
    }
}

#[test]
fn by_itself_the_engine_takes_threads_without_direct_io_and_says_why() {
    let small = Small::new();
    let (report, _) = small.load(MemoryStorage::new(small.bytes.clone()), |_| {});
    let report = report.unwrap();
    assert_eq!(report.io_engine.name, "threads");
    assert!(report.io_engine.why.contains("no local file"), "{report:?}");
    assert!(!report.direct_io.on);
    assert!(report.direct_io.why.contains("no local file"), "{report:?}");
    assert_eq!(report.channels, 16, "as many as threads have by default");
}

#[test]
fn what_takes_a_file_is_refused_before_anything_is_touched() {
    let small = Small::new();
    let storage = || MemoryStorage::new(small.bytes.clone());
    let (error, length) = small.load(storage(), |plan| plan.tuning.io_engine = IoEngine::IoUring);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EngineUnavailable, "{error}");
    assert!(error.message().contains("io_uring was asked for"), "{error}");
    assert_eq!(length, 0, "the memory did not grow");
    let (error, length) = small.load(storage(), |plan| plan.tuning.direct_io = DirectIo::On);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectIoUnavailable, "{error}");
    assert_eq!(length, 0, "the memory did not grow");
    let (report, _) = small.load(storage(), |plan| {
        plan.tuning.io_engine = IoEngine::Threads;
        plan.tuning.direct_io = DirectIo::Off;
    });
    assert_eq!(report.unwrap().io_engine.why, "asked for by the caller");

    let area = small.block.area();
    let compared = Compared {
        name: "ram".to_owned(),
        left: area,
        right: Right::Pages(area),
    };
    let path = small.directory.path().join("none");
    let right = SnapshotSource::Storage(Arc::new(storage()));
    let right = SnapshotSpec {
        source: right,
        direct: None,
        name: "the right one".to_owned(),
    };
    let mut plan = ComparePlan::new(SnapshotSpec::path(path), Some(right), vec![compared]);
    plan.tuning.io_engine = IoEngine::IoUring;
    let error = Comparison::new(plan).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EngineUnavailable, "{error}");
    assert_eq!(error.path(), Some("the right one"));
}

#[test]
fn a_storage_that_fails_or_ends_is_an_error_that_names_it() {
    let small = Small::new();
    let calls = small.calls();
    assert!(calls >= 2, "the bitmap and a request");
    for call in 0..calls {
        let storage = MemoryStorage::faulty(small.bytes.clone(), call..call + 1, Fault::Strike);
        let (error, _) = small.load(storage, |plan| plan.tuning.channels = Some(2));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.path(), Some("the storage"));
        assert!(error.offset().is_some());
        let cause = error.io_source().map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("the store is on strike"));
    }
    let mut short = small.bytes.clone();
    short.pop();
    let (error, length) = small.load(MemoryStorage::new(short), |_| {});
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(length, 0, "the memory did not grow");
}

#[test]
fn a_call_that_is_interrupted_is_repeated_but_not_for_ever() {
    let small = Small::new();
    let calls = small.calls();
    for call in 0..calls {
        let storage = MemoryStorage::faulty(small.bytes.clone(), call..call + 50, Fault::Interruption);
        let (report, length) = small.load(storage, |plan| plan.tuning.channels = Some(1));
        let report = report.unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(report.bytes, small.block.length());
        assert_eq!(length, small.block.length());
        let storage = MemoryStorage::faulty(small.bytes.clone(), call..u64::MAX, Fault::Interruption);
        let (error, _) = small.load(storage, |plan| plan.tuning.channels = Some(1));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Io, "call {call}");
    }
}

#[test]
fn a_storage_that_boasts_of_more_bytes_than_it_was_given_is_refused() {
    let small = Small::new();
    for call in 0..small.calls() {
        let storage = MemoryStorage::faulty(small.bytes.clone(), call..call + 1, Fault::Boast);
        let (error, _) = small.load(storage, |plan| plan.tuning.channels = Some(2));
        let error = error.unwrap_err();
        let words = format!("{error}: {:?}", error.io_source());
        assert!(
            words.contains("more bytes than asked for"),
            "call {call}: {words}"
        );
        assert_eq!(error.path(), Some("the storage"));
    }
}
