//! Scans and digests against a page-at-a-time loop: the visitor sees every set page once and as it is in the file, and
//! the digest is that of the pages, whichever way they pass.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use common::copier::Copier;
use common::{Block, KIB, MIB, Page, Pattern, Place, TestFile, TestMemory};
use mapped_ram_engine::digest::{DIGEST_BYTES, PieceDigest, PieceDigests, digest_ranges};
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{
    CancelToken, DirectIo, Direction, EngineError, ErrorKind, IoEngine, Pages, Plan, Transfer, Tuning,
    Visitor,
};
use proptest::prelude::*;

const MOST_PAGES: u64 = 700;

#[derive(Debug, Clone)]
struct Shape {
    pages: u64,
    pattern: Pattern,
    seed: u64,
    store_zero_pages: bool,
}

#[derive(Debug, Clone)]
struct Case {
    page_size: u64,
    shapes: Vec<Shape>,
    /// The alignment of page areas.
    alignment: u64,
    /// True when there are bytes below clear bits.
    stale: bool,
    channels: usize,
    depth: usize,
    /// The sizes of a piece and of a request, as powers of two: of the page size, and of the piece size.
    piece: u32,
    request: u32,
    engine: IoEngine,
    direct: bool,
}

impl Case {
    fn piece_size(&self) -> u64 {
        (self.page_size << self.piece).min(MIB)
    }

    fn request_size(&self) -> u64 {
        (self.piece_size() << self.request).min(MIB)
    }

    fn blocks(&self) -> Vec<Block> {
        let mut end = 4096;
        self.shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                let pages = shape.pages.min(2 * MIB / self.page_size).max(1);
                let bitmap_offset = end;
                let after = bitmap_offset + pages.div_ceil(64) * 8;
                let pages_offset = after.next_multiple_of(self.alignment);
                end = pages_offset + pages * self.page_size;
                Block {
                    name: format!("block{index}"),
                    page_size: self.page_size,
                    pages: shape.pattern.pages(
                        common::size(pages),
                        self.request_size() / self.page_size,
                        shape.seed,
                    ),
                    seed: shape.seed,
                    memory_offset: 0,
                    pages_offset,
                    bitmap_offset,
                    store_zero_pages: shape.store_zero_pages,
                    memory_is_zero: true,
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
                channels: Some(self.channels),
                queue_depth: self.depth,
                request_size: common::size(self.request_size()),
                io_engine: self.engine,
                direct_io,
                ..Tuning::default()
            },
            ..Plan::new(direction, snapshot.snapshot(), Vec::new())
        }
    }

    fn scan(&self, directory: &Path, snapshot: &TestFile, blocks: &[Block], visitor: Arc<dyn Visitor>) {
        let mut plan = self.plan(Direction::Scan, directory, snapshot);
        plan.regions = blocks
            .iter()
            .map(|block| block.region(MemorySpec::None))
            .collect();
        let set: usize = blocks
            .iter()
            .map(|block| {
                (0..block.pages.len() as u64)
                    .filter(|page| common::naive::is_set(&snapshot.file, block, *page))
                    .count()
            })
            .sum();
        let before = snapshot.contents();
        let transfer = Transfer::new(plan).visited_by(visitor);
        let progress = transfer.controls().progress;
        let report = transfer.run().expect("the scan succeeds");
        let bytes: u64 = blocks.iter().map(Block::length).sum();
        assert_eq!(
            (report.bytes, report.data_bytes),
            (bytes, set as u64 * self.page_size)
        );
        assert_eq!((progress.done(), progress.total()), (bytes, bytes));
        common::assert_same("the snapshot after a scan", &snapshot.contents(), &before);
    }

    fn digests(&self) -> Arc<PieceDigests> {
        Arc::new(PieceDigests::new(self.piece_size(), self.page_size).expect("a piece size"))
    }
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (
        1_u64..=MOST_PAGES,
        prop_oneof![
            1 => Just(Pattern::AllHoles),
            1 => Just(Pattern::AllZero),
            1 => Just(Pattern::AllData),
            1 => Just(Pattern::Dense),
            2 => Just(Pattern::Sparse),
            1 => Just(Pattern::Single),
            3 => Just(Pattern::Runs),
            2 => Just(Pattern::Random),
        ],
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(pages, pattern, seed, store_zero_pages)| Shape {
            pages,
            pattern,
            seed,
            store_zero_pages,
        });
    (
        prop_oneof![4 => Just(4096_u64), 2 => Just(512_u64), 1 => Just(256_u64), 1 => Just(64 * KIB)],
        proptest::collection::vec(shape, 1..=3),
        prop_oneof![Just(MIB), Just(4096_u64), Just(512_u64)],
        any::<bool>(),
        1_usize..=4,
        1_usize..=8,
        0_u32..=8,
        0_u32..=3,
        proptest::sample::select(common::engines()),
        any::<bool>(),
    )
        .prop_map(
            |(page_size, shapes, alignment, stale, channels, depth, piece, request, engine, direct)| Case {
                page_size,
                shapes,
                alignment,
                stale,
                channels,
                depth,
                piece,
                request,
                engine,
                direct,
            },
        )
}

/// Digests page by page, as the documentation says. `page` gives a page's content where it counts.
fn naive_digests(
    region: usize,
    block: &Block,
    piece_size: u64,
    page: impl Fn(u64) -> Option<Vec<u8>>,
) -> Vec<PieceDigest> {
    let in_piece = piece_size / block.page_size;
    let pages = block.pages.len() as u64;
    let mut digests = Vec::new();
    for first in (0..pages).step_by(common::size(in_piece)) {
        let count = in_piece.min(pages - first);
        let mut message = Vec::new();
        let mut bitmap = vec![0_u8; common::size(count.div_ceil(8))];
        for index in 0..count {
            if let Some(content) = page(first + index).filter(|content| content.iter().any(|byte| *byte != 0))
            {
                message.extend(content);
                bitmap[common::size(index / 8)] |= 1 << (index % 8);
            }
        }
        if !message.is_empty() {
            message.extend(bitmap);
            digests.push(PieceDigest {
                region,
                offset: first * block.page_size,
                digest: *blake3::hash(&message).as_bytes(),
            });
        }
    }
    digests
}

fn page_at(file: &File, offset: u64, page_size: u64) -> Vec<u8> {
    let mut content = vec![0; common::size(page_size)];
    file.read_exact_at(&mut content, offset).expect("a page");
    content
}

fn digests_of_snapshot(snapshot: &File, blocks: &[Block], piece_size: u64) -> Vec<PieceDigest> {
    (0..)
        .zip(blocks)
        .flat_map(|(region, block)| {
            naive_digests(region, block, piece_size, |page| {
                common::naive::is_set(snapshot, block, page).then(|| {
                    page_at(
                        snapshot,
                        block.pages_offset + page * block.page_size,
                        block.page_size,
                    )
                })
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_shows_what_a_page_loop_sees(case in case()) {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = case.blocks();
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        let copies: Vec<(TestFile, TestFile)> = blocks
            .iter()
            .map(|block| {
                block.fill_snapshot(&snapshot.file, case.stale);
                let new = || TestFile::new(directory.path(), "copy", Place::Memfd);
                let (found, expected) = (new(), new());
                found.file.set_len(block.length()).expect("a size");
                common::naive::load(&snapshot.file, &expected.file, block);
                (found, expected)
            })
            .collect();
        let copier = Copier::new(copies.iter().map(|(found, _)| &found.file), case.piece_size());
        case.scan(directory.path(), &snapshot, &blocks, Arc::new(copier));
        for (found, expected) in &copies {
            common::assert_same("what was shown", &found.contents(), &expected.contents());
        }
    }

    #[test]
    fn digests_of_a_scan_equal_a_page_loops(case in case()) {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = case.blocks();
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        for block in &blocks {
            block.fill_snapshot(&snapshot.file, case.stale);
        }
        let digests = case.digests();
        case.scan(directory.path(), &snapshot, &blocks, Arc::clone(&digests) as Arc<dyn Visitor>);
        let expected = digests_of_snapshot(&snapshot.file, &blocks, case.piece_size());
        prop_assert_eq!(digests.take(), expected);
    }

    #[test]
    fn a_save_and_a_scan_of_it_have_the_digests_of_the_memory(case in case()) {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = case.blocks();
        let memories: Vec<TestMemory> = blocks
            .iter()
            .map(|block| {
                let file = TestFile::new(directory.path(), &block.name, Place::Disk);
                file.file.set_len(block.length()).expect("a size");
                block.fill_memory(&file.file);
                TestMemory::new(file)
            })
            .collect();
        let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
        let oracle = TestFile::new(directory.path(), "oracle", Place::Disk);
        let mut plan = case.plan(Direction::Save, directory.path(), &snapshot);
        plan.regions = blocks
            .iter()
            .zip(&memories)
            .map(|(block, memory)| block.region(memory.spec()))
            .collect();
        let saved = case.digests();
        Transfer::new(plan)
            .visited_by(Arc::clone(&saved) as Arc<dyn Visitor>)
            .run()
            .expect("the save succeeds");

        let expected: Vec<PieceDigest> = (0..)
            .zip(blocks.iter().zip(&memories))
            .flat_map(|(region, (block, memory))| {
                common::naive::save(&memory.file.file, &oracle.file, block);
                naive_digests(region, block, case.piece_size(), |page| {
                    Some(page_at(&memory.file.file, page * block.page_size, block.page_size))
                })
            })
            .collect();
        common::assert_same("a save that is digested", &snapshot.contents(), &oracle.contents());
        prop_assert_eq!(&saved.take(), &expected);
        let scanned = case.digests();
        case.scan(directory.path(), &snapshot, &blocks, Arc::clone(&scanned) as Arc<dyn Visitor>);
        prop_assert_eq!(&scanned.take(), &expected);
    }

    #[test]
    fn a_digest_of_ranges_is_that_of_their_bytes(
        length in 1_usize..3_000_000,
        cuts in proptest::collection::vec((0_u64..3_000_000, 0_u64..2_000_000), 0..4),
    ) {
        let file = TestFile::new(Path::new("/"), "file", Place::Memfd);
        let mut bytes = vec![0; length];
        common::Noise::new(1).fill(&mut bytes);
        file.file.write_all_at(&bytes, 0).expect("its bytes");
        let ranges: Vec<_> = cuts.iter().map(|(start, count)| *start..start + count).collect();
        let result = digest_ranges(&file.source(), "file", &ranges, &CancelToken::default());
        let inside = ranges.iter().all(|range| range.is_empty() || range.end <= length as u64);
        if inside {
            let naive: Vec<u8> = ranges
                .iter()
                .filter(|range| !range.is_empty())
                .flat_map(|range| bytes[common::size(range.start)..common::size(range.end)].to_vec())
                .collect();
            prop_assert_eq!(result.expect("a digest"), *blake3::hash(&naive).as_bytes());
        } else {
            prop_assert_eq!(result.expect_err("the file is too short").kind(), ErrorKind::Truncated);
        }
    }
}

fn small(pages: Vec<Page>) -> Block {
    Block {
        name: "ram".to_owned(),
        page_size: 4096,
        pages,
        seed: 3,
        memory_offset: 0,
        pages_offset: MIB,
        bitmap_offset: 4096,
        store_zero_pages: false,
        memory_is_zero: false,
    }
}

#[test]
fn a_request_must_hold_whole_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let block = small(vec![Page::Data; 8]);
    block.fill_snapshot(&snapshot.file, false);
    let scan = |request_size: u64| {
        let plan = Plan {
            tuning: Tuning {
                request_size: common::size(request_size),
                ..Tuning::default()
            },
            ..Plan::new(
                Direction::Scan,
                snapshot.snapshot(),
                vec![block.region(MemorySpec::None)],
            )
        };
        let digests = PieceDigests::new(64 * KIB, 4096).unwrap();
        Transfer::new(plan).visited_by(Arc::new(digests)).run()
    };
    for size in [32 * KIB, 96 * KIB] {
        let error = scan(size).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert!(error.message().contains("65536"), "{error}");
    }
    scan(128 * KIB).unwrap();
}

#[test]
fn a_file_that_ends_before_its_last_set_page_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let block = small(vec![Page::Data; 8]);
    block.fill_snapshot(&snapshot.file, false);
    for size in [block.pages_range().end - 1, MIB + 3 * 4096 + 1, 4100, 0] {
        snapshot.file.set_len(size).unwrap();
        let regions = vec![block.region(MemorySpec::None)];
        let plan = Plan::new(Direction::Scan, snapshot.snapshot(), regions);
        let error = Transfer::new(plan).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{size}: {error}");
    }
}

#[test]
fn an_error_of_the_visitor_ends_the_scan() {
    #[derive(Debug)]
    struct Refusing;
    impl Visitor for Refusing {
        fn visit(&self, pages: &Pages<'_>) -> Result<(), EngineError> {
            Err(EngineError::new(
                ErrorKind::InvalidArgument,
                format!("seen {}", pages.start),
            ))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let block = small(vec![Page::Data; 8]);
    block.fill_snapshot(&snapshot.file, false);
    for engine in common::engines() {
        let regions = vec![block.region(MemorySpec::None)];
        let plan = Plan {
            tuning: Tuning {
                io_engine: engine,
                ..Tuning::default()
            },
            ..Plan::new(Direction::Scan, snapshot.snapshot(), regions)
        };
        let error = Transfer::new(plan)
            .visited_by(Arc::new(Refusing))
            .run()
            .unwrap_err();
        assert_eq!(error.message(), "seen 0");
    }
}

#[test]
fn a_region_without_memory_can_only_be_scanned() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = TestFile::new(directory.path(), "snapshot", Place::Disk);
    let block = small(vec![Page::Data; 8]);
    block.fill_snapshot(&snapshot.file, false);
    for direction in [Direction::Save, Direction::Load] {
        let regions = vec![block.region(MemorySpec::None)];
        let error = Transfer::new(Plan::new(direction, snapshot.snapshot(), regions))
            .run()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{direction:?}: {error}");
    }
}

#[test]
fn a_cancelled_digest_of_ranges_ends() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(MIB).unwrap();
    let token = CancelToken::default();
    token.cancel();
    let source = FileSource::Path(file.path().into());
    let whole = std::slice::from_ref(&(0..MIB));
    let error = digest_ranges(&source, "file", whole, &token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let digest = digest_ranges(&source, "file", whole, &CancelToken::default()).unwrap();
    assert_eq!(digest.len(), DIGEST_BYTES);
}
