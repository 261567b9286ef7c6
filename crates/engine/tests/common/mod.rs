//! The oracle that the engine is compared with, and the means to make files and look at them.
//!
//! `naive` moves one page at a time with std's positional I/O: too slow to be of use and too simple to be wrong.

#![allow(
    dead_code,
    reason = "each test binary compiles this module and uses a part of it"
)]

pub(crate) mod copier;
pub(crate) mod memory_storage;
pub(crate) mod naive;
pub(crate) mod process;
pub(crate) mod spy;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSource, SnapshotSpec, source};
use mapped_ram_engine::memory::{ByteMemory, MemorySpec};
use mapped_ram_engine::pages::bitmap_bytes;
use mapped_ram_engine::{DirectIo, IoEngine, Region};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// The unit in which the filesystems under test allocate.
const ALLOCATION: u64 = 4096;

pub(crate) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("fits in memory")
}

/// Says why a test did nothing; standard output belongs to the test harness.
pub(crate) fn skipped(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {reason}");
}

/// Lists the engines that this system has. Containers often refuse io_uring.
pub(crate) fn engines() -> Vec<IoEngine> {
    static PROBE: OnceLock<bool> = OnceLock::new();
    let works = PROBE.get_or_init(|| {
        let probe = mapped_ram_engine::queue::probe_io_uring();
        probe.map_err(|reason| skipped("io_uring", &reason)).is_ok()
    });
    if *works {
        vec![IoEngine::IoUring, IoEngine::Threads]
    } else {
        vec![IoEngine::Threads]
    }
}

/// Returns `On` where files below `directory` accept O_DIRECT.
pub(crate) fn direct_io(directory: &Path) -> DirectIo {
    let probe = tempfile::NamedTempFile::new_in(directory).expect("a file for the probe");
    match source::open_direct(probe.path(), true) {
        Ok(_) => DirectIo::On,
        Err(_) => DirectIo::Off,
    }
}

/// The contents of a page of memory before a save. A page of a snapshot has its bit set when it is `Data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Nothing was ever written there.
    Hole,
    /// Zeros were written there.
    Zero,
    Data,
}

/// A RAM block as the tests see it: what its pages hold and where everything lies.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) page_size: u64,
    pub(crate) pages: Vec<Page>,
    pub(crate) seed: u64,
    pub(crate) memory_offset: u64,
    pub(crate) pages_offset: u64,
    pub(crate) bitmap_offset: u64,
    pub(crate) store_zero_pages: bool,
    pub(crate) memory_is_zero: bool,
}

impl Block {
    pub(crate) fn length(&self) -> u64 {
        self.pages.len() as u64 * self.page_size
    }

    pub(crate) fn pages_range(&self) -> Range<u64> {
        self.pages_offset..self.pages_offset + self.length()
    }

    pub(crate) fn bitmap_length(&self) -> u64 {
        bitmap_bytes(self.pages.len() as u64)
    }

    pub(crate) fn area(&self) -> PageArea {
        PageArea {
            pages_offset: self.pages_offset,
            bitmap_offset: self.bitmap_offset,
            length: self.length(),
            page_size: self.page_size,
        }
    }

    pub(crate) fn region(&self, memory: MemorySpec) -> Region {
        Region {
            name: self.name.clone(),
            memory,
            memory_offset: self.memory_offset,
            area: self.area(),
            store_zero_pages: self.store_zero_pages,
            only: None,
            memory_is_zero: self.memory_is_zero,
        }
    }

    /// Lists number and content of the pages that were written, zeros included.
    pub(crate) fn written(&self) -> impl Iterator<Item = (u64, Vec<u8>)> + '_ {
        (0..)
            .zip(&self.pages)
            .filter(|(_, page)| **page != Page::Hole)
            .map(|(index, page)| (index, self.content(index, *page)))
    }

    fn content(&self, index: u64, page: Page) -> Vec<u8> {
        let mut bytes = vec![0; size(self.page_size)];
        if page == Page::Data {
            let mut noise = Noise::new(self.seed ^ index);
            // Memory with many pages that look zero at first is copied, and other memory is not.
            let rarely = if self.seed.is_multiple_of(2) { 3 } else { 17 };
            if index.is_multiple_of(rarely) {
                // This page is the hardest to tell from a zero page.
                let at = noise.below(self.page_size);
                bytes[size(at)] = 1;
            } else {
                noise.fill(&mut bytes);
                bytes[0] = 0xd1;
            }
        }
        bytes
    }

    /// Fills the block's part of a memory file as its pages say.
    pub(crate) fn fill_memory(&self, memory: &File) {
        for (index, content) in self.written() {
            memory
                .write_all_at(&content, self.memory_offset + index * self.page_size)
                .expect("memory takes the page");
        }
    }

    /// Puts the block into a snapshot: its data pages, its bits, `stale` bytes below the clear bits and, in the words'
    /// unused bits, ones.
    pub(crate) fn fill_snapshot(&self, file: &File, stale: bool) {
        if stale {
            let garbage = vec![0xee; size(self.length())];
            file.write_all_at(&garbage, self.pages_offset)
                .expect("the snapshot takes garbage");
        }
        let mut bitmap = vec![0_u8; size(self.bitmap_length())];
        for (index, page) in self.pages.iter().enumerate() {
            if *page == Page::Data {
                bitmap[index / 8] |= 1 << (index % 8);
                let index = index as u64;
                file.write_all_at(
                    &self.content(index, *page),
                    self.pages_offset + index * self.page_size,
                )
                .expect("the snapshot takes the page");
            }
        }
        for unused in self.pages.len()..bitmap.len() * 8 {
            bitmap[unused / 8] |= 1 << (unused % 8);
        }
        file.write_all_at(&bitmap, self.bitmap_offset)
            .expect("the snapshot takes the bitmap");
    }
}

/// A small generator whose numbers depend on nothing but its seed.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

/// The layout of a block's pages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pattern {
    AllHoles,
    AllZero,
    AllData,
    /// Nearly all data.
    Dense,
    /// Nearly all holes.
    Sparse,
    /// Data, zero, data, hole.
    Alternating,
    Single,
    /// Runs about as long as a bitmap word and as a request, which cross the ends of both.
    Runs,
    Random,
}

impl Pattern {
    pub(crate) fn pages(self, count: usize, pages_in_request: u64, seed: u64) -> Vec<Page> {
        let mut noise = Noise::new(seed);
        let mut pages = vec![Page::Hole; count];
        match self {
            Self::AllHoles => {}
            Self::AllZero => pages.fill(Page::Zero),
            Self::AllData => pages.fill(Page::Data),
            Self::Dense => pages.fill_with(|| match noise.below(40) {
                0 => Page::Hole,
                1 => Page::Zero,
                _ => Page::Data,
            }),
            Self::Sparse => pages.fill_with(|| match noise.below(40) {
                0 => Page::Data,
                1 => Page::Zero,
                _ => Page::Hole,
            }),
            Self::Alternating => {
                let cycle = [Page::Data, Page::Zero, Page::Data, Page::Hole];
                for (page, kind) in pages.iter_mut().zip(cycle.iter().cycle()) {
                    *page = *kind;
                }
            }
            Self::Single => {
                let at = noise.below(count as u64);
                pages[size(at)] = Page::Data;
            }
            Self::Runs => {
                let lengths = [
                    1,
                    2,
                    63,
                    64,
                    65,
                    pages_in_request.saturating_sub(1),
                    pages_in_request,
                    pages_in_request + 1,
                ];
                let mut rest = pages.as_mut_slice();
                while !rest.is_empty() {
                    let kind = [Page::Data, Page::Hole, Page::Data, Page::Zero][size(noise.below(4))];
                    let length = size(lengths[size(noise.below(8))].max(1)).min(rest.len());
                    let (run, tail) = rest.split_at_mut(length);
                    run.fill(kind);
                    rest = tail;
                }
            }
            Self::Random => {
                pages.fill_with(|| [Page::Hole, Page::Zero, Page::Data][size(noise.below(3))]);
            }
        }
        pages
    }
}

/// The place of a test's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file below the temporary directory, reached by its path.
    Disk,
    /// A file below the temporary directory, reached by a descriptor.
    DiskDescriptor,
    /// A memfd, which is a file of the kernel's own tmpfs.
    Memfd,
    /// Memory only: a buffer of this process.
    Buffer,
}

/// A file for the engine and a way to look at it.
#[derive(Debug)]
pub(crate) struct TestFile {
    pub(crate) file: File,
    path: Option<PathBuf>,
    place: Place,
}

impl TestFile {
    pub(crate) fn new(directory: &Path, name: &str, place: Place) -> Self {
        if matches!(place, Place::Disk | Place::DiskDescriptor) {
            let path = directory.join(name);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
                .expect("a new file");
            return Self {
                file,
                path: Some(path),
                place,
            };
        }
        let memfd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
        Self {
            file: File::from(memfd),
            path: None,
            place,
        }
    }

    pub(crate) fn source(&self) -> FileSource {
        match (&self.path, self.place) {
            (Some(path), Place::Disk) => FileSource::Path(path.clone()),
            _ => FileSource::Fd(self.file.as_raw_fd()),
        }
    }

    pub(crate) fn snapshot(&self) -> SnapshotSpec {
        SnapshotSpec {
            source: SnapshotSource::File(self.source()),
            direct: None,
            name: String::new(),
        }
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        contents(&self.file)
    }
}

/// Memory for the engine: a file, or a buffer that starts with a file's contents.
#[derive(Debug)]
pub(crate) struct TestMemory {
    pub(crate) file: TestFile,
    buffer: Option<Arc<ByteMemory>>,
}

impl TestMemory {
    pub(crate) fn new(file: TestFile) -> Self {
        let buffer = (file.place == Place::Buffer).then(|| Arc::new(ByteMemory::new(file.contents())));
        Self { file, buffer }
    }

    pub(crate) fn spec(&self) -> MemorySpec {
        match &self.buffer {
            Some(buffer) => MemorySpec::Bytes(Arc::clone(buffer)),
            None => MemorySpec::File(self.file.source()),
        }
    }

    /// Reads the bytes. A buffer can be asked once.
    pub(crate) fn contents(&self) -> Vec<u8> {
        match &self.buffer {
            Some(buffer) => buffer.take(),
            None => self.file.contents(),
        }
    }

    pub(crate) fn is_buffer(&self) -> bool {
        self.buffer.is_some()
    }
}

pub(crate) fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; size(file.metadata().expect("its size").len())];
    file.read_exact_at(&mut bytes, 0).expect("its contents");
    bytes
}

/// Lists the allocation units of `range` in which the file has data rather than a hole. Direct and buffered writes
/// allocate alike at this granularity: whole filesystem blocks, and none that was not written to.
pub(crate) fn data_units(file: &File, range: Range<u64>) -> BTreeSet<u64> {
    use rustix::fs::{SeekFrom, seek};
    let mut units = BTreeSet::new();
    let mut position = range.start;
    while position < range.end {
        let Ok(data) = seek(file, SeekFrom::Data(position)) else {
            break;
        };
        if data >= range.end {
            break;
        }
        let hole = seek(file, SeekFrom::Hole(data))
            .expect("data ends in a hole")
            .min(range.end);
        units.extend(data / ALLOCATION..hole.div_ceil(ALLOCATION));
        position = hole;
    }
    units
}

/// Fails with the first difference instead of two dumps of a megabyte each.
pub(crate) fn assert_same(what: &str, found: &[u8], expected: &[u8]) {
    if found == expected {
        return;
    }
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let differences: Vec<usize> = (0..found.len())
        .filter(|at| found[*at] != expected[*at])
        .collect();
    let at = differences[0];
    assert!(
        found == expected,
        "{what}: {} bytes differ, the first at {at}: expected {:#x}, found {:#x}",
        differences.len(),
        expected[at],
        found[at]
    );
}

/// Lists the names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort_unstable();
    names
}
