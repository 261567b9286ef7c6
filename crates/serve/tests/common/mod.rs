//! A guest's memory as a test makes it up, sources of it, and a server on a thread of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

pub mod decoder;
pub mod destination;

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_serve::{
    Control, DirectFiles, InMemory, Layer, LayeredFiles, PageSet, PageSource, Pages, Push, ServeOptions,
    ServeProgress, ServeReport, ServedBlock, serve,
};
use proptest::prelude::*;
use tempfile::TempDir;

pub const PAGE: usize = 4096;
pub const SECTION: u32 = 7;
/// Names the first page of each layer in its file.
const FILE_OFFSET: u64 = 8192;

/// A block: which of two layers have each of its target pages.
#[derive(Debug, Clone)]
pub struct Shape {
    pub host_page: u64,
    /// Bit 0: the first layer has it; bit 1: the second has it.
    pub pages: Vec<u8>,
    pub hot: Option<Vec<bool>>,
}

impl Shape {
    pub fn id(index: usize) -> String {
        ["m", "/rom@etc/acpi/tables", "0000:00:02.0/vga.vram"][index % 3].to_owned()
    }

    pub fn per_host(&self) -> u64 {
        self.host_page / PAGE as u64
    }

    pub fn hosts(&self) -> u64 {
        self.pages.len() as u64 / self.per_host()
    }

    /// The bytes of a target page; `None` for a zero page.
    pub fn page(&self, block: usize, page: u64) -> Option<Box<[u8; PAGE]>> {
        let layers = self.pages[usize::try_from(page).unwrap()];
        (layers != 0).then(|| bytes_of(block, layers.trailing_zeros(), page))
    }

    pub fn has_content(&self, host: u64) -> bool {
        let pages = host * self.per_host()..(host + 1) * self.per_host();
        pages
            .into_iter()
            .any(|page| self.pages[usize::try_from(page).unwrap()] != 0)
    }

    fn set(&self, wanted: impl Fn(usize, u8) -> bool) -> PageSet {
        let mut set = PageSet::new(self.pages.len() as u64).unwrap();
        for (page, layers) in self.pages.iter().enumerate() {
            if wanted(page, *layers) {
                set.insert(page as u64);
            }
        }
        set
    }
}

fn bytes_of(block: usize, layer: u32, page: u64) -> Box<[u8; PAGE]> {
    let mut bytes = Box::new([0; PAGE]);
    let seed = (block as u64) << 32 | u64::from(layer) << 28 | page;
    for (index, word) in (0_u64..).zip(bytes.as_chunks_mut::<8>().0) {
        *word = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index | 1).to_le_bytes();
    }
    bytes
}

pub fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (any::<bool>(), 1..60_usize, 0..4_u8).prop_flat_map(|(large, hosts, density)| {
        let host_page = if large { 65536 } else { 4096 };
        let pages = if large { hosts.div_ceil(6) * 16 } else { hosts };
        let layers = prop::collection::vec(
            prop_oneof![4 => Just(0_u8), 1 + u32::from(density) * 4 => 1..4_u8],
            pages,
        );
        let hot = prop::option::of(prop::collection::vec(prop::bool::weighted(0.2), pages));
        (Just(host_page), layers, hot).prop_map(|(host_page, pages, hot)| Shape {
            host_page,
            pages,
            hot,
        })
    });
    prop::collection::vec(shape, 1..4)
}

/// Where a test's pages come from.
#[derive(Debug, Clone, Copy)]
pub enum From {
    Files,
    /// The same files, past the page cache.
    Direct,
    Memory,
    /// Memory that takes a moment.
    SlowMemory,
}

pub fn sources() -> impl Strategy<Value = From> {
    prop_oneof![
        Just(From::Files),
        Just(From::Direct),
        Just(From::Memory),
        Just(From::SlowMemory)
    ]
}

pub fn source(shapes: &[Shape], from: From, folder: &TempDir) -> Arc<dyn PageSource> {
    match from {
        From::Files => {
            let (files, blocks) = written_layers(shapes, folder);
            Arc::new(LayeredFiles::open(files, blocks).unwrap())
        }
        From::Direct => {
            // The files are open when the folder goes.
            let folder = folder_on_disk();
            let (files, blocks) = written_layers(shapes, &folder);
            Arc::new(DirectFiles::open(files, blocks).unwrap())
        }
        From::Memory => Arc::new(in_memory(shapes)),
        From::SlowMemory => {
            let mut memory = in_memory(shapes);
            memory.delay = Some(Duration::from_micros(200));
            Arc::new(memory)
        }
    }
}

pub fn in_memory(shapes: &[Shape]) -> InMemory {
    let blocks = shapes.iter().enumerate().map(|(index, shape)| {
        let count = shape.pages.len() as u64;
        let pages = (0..count).filter_map(|page| Some((page, shape.page(index, page)?)));
        (count, pages.collect::<Pages>())
    });
    InMemory::new(blocks.collect::<Vec<_>>()).unwrap()
}

/// A folder beside what was built: the one for temporary files may be in memory.
pub fn folder_on_disk() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The files of a source, and its blocks.
pub type Written = (Vec<(FileSource, String)>, Vec<(u64, Vec<Layer>)>);

/// Writes two files, in which pages that a layer does not have are full of rubbish.
pub fn written_layers(shapes: &[Shape], folder: &TempDir) -> Written {
    let mut blocks: Vec<(u64, Vec<Layer>)> = Vec::new();
    let mut sources = Vec::new();
    for (number, layer) in [0_u32, 1].into_iter().enumerate() {
        let path = folder.path().join(format!("layer{layer}"));
        let mut file = std::fs::File::create(&path).unwrap();
        let mut offset = FILE_OFFSET;
        for (block, shape) in shapes.iter().enumerate() {
            file.seek(SeekFrom::Start(offset)).unwrap();
            for page in 0..shape.pages.len() as u64 {
                let has = shape.pages[usize::try_from(page).unwrap()] >> layer & 1 == 1;
                let bytes = if has {
                    bytes_of(block, layer, page)
                } else {
                    Box::new([0xee; PAGE])
                };
                file.write_all(&bytes[..]).unwrap();
            }
            let pages = shape.set(|_, layers| layers >> layer & 1 == 1);
            let own = Layer {
                file: number,
                pages_offset: offset,
                pages,
            };
            match blocks.get_mut(block) {
                Some((_, layers)) => layers.push(own),
                None => blocks.push((shape.pages.len() as u64, vec![own])),
            }
            offset += (shape.pages.len() * PAGE) as u64 + 512;
        }
        sources.push((FileSource::Path(path), format!("layer {layer}")));
    }
    (sources, blocks)
}

pub fn options(shapes: &[Shape], connection: FileSource) -> ServeOptions {
    let blocks = shapes.iter().enumerate().map(|(index, shape)| ServedBlock {
        id: Shape::id(index),
        length: (shape.pages.len() * PAGE) as u64,
        host_page: shape.host_page,
        hot: shape.hot.as_ref().map(|hot| shape.set(|page, _| hot[page])),
    });
    ServeOptions {
        connection,
        preempt: false,
        connect_timeout: Duration::from_secs(10),
        blocks: blocks.collect(),
        section_id: SECTION,
        opening: Some(b"the opening of the stream".to_vec()),
        push: Push::Full,
        max_bandwidth: None,
        ends_by_itself: true,
    }
}

/// A server on a thread.
#[derive(Debug)]
pub struct Running {
    pub control: Arc<Control>,
    thread: JoinHandle<Result<ServeReport>>,
}

impl Running {
    pub fn start(options: ServeOptions, source: Arc<dyn PageSource>) -> Self {
        let control = Arc::new(Control::default());
        let theirs = Arc::clone(&control);
        let thread = std::thread::spawn(move || {
            let served = serve(options, source, &theirs);
            theirs.finish();
            served
        });
        Self { control, thread }
    }

    /// Waits for another thread, which should not take long.
    pub fn join<T>(&self, thread: JoinHandle<T>) -> T {
        let began = std::time::Instant::now();
        while !thread.is_finished() {
            let progress = self.control.progress();
            assert!(began.elapsed() < Duration::from_secs(30), "a hang: {progress:?}");
            std::thread::sleep(Duration::from_micros(100));
        }
        thread.join().expect("the destination finds nothing wrong")
    }

    /// Waits until the server knows that it has sent the end, which the destination may have read before.
    pub fn ended(&self) -> ServeProgress {
        let began = std::time::Instant::now();
        while !self.control.progress().ended && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_micros(100));
        }
        self.control.progress()
    }

    /// The result, for which nobody should wait long.
    pub fn result(self) -> Result<ServeReport> {
        let began = std::time::Instant::now();
        while !self.thread.is_finished() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the server hangs: {:?}",
                self.control.progress()
            );
            std::thread::sleep(Duration::from_micros(100));
        }
        self.thread.join().expect("the server does not panic")
    }
}

/// The two ends of a socket, one of them as options have it. It has to live until the server has started.
pub fn pair() -> (UnixStream, FileSource) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    (theirs, FileSource::duplicate_of(ours.as_raw_fd()).unwrap())
}

pub fn listener(folder: &TempDir, name: &str) -> (UnixListener, FileSource) {
    let path = folder.path().join(name);
    (UnixListener::bind(&path).unwrap(), FileSource::Path(path))
}

/// Waits for something that a server tells.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// Memory as a destination has it: whole host pages by block and number.
pub type Memory = BTreeMap<(usize, u64), Vec<u8>>;

/// Compares a destination's memory with what it should be. Pages that are missing are zero.
pub fn check_memory(shapes: &[Shape], memory: &Memory) {
    for (block, shape) in shapes.iter().enumerate() {
        for host in 0..shape.hosts() {
            let found = memory.get(&(block, host));
            assert!(
                found.is_some() || !shape.has_content(host),
                "block {block}: host page {host} is missing"
            );
            let Some(found) = found else { continue };
            let first = host * shape.per_host();
            for (page, found) in (first..).zip(found.as_chunks::<PAGE>().0) {
                let expected = shape.page(block, page).unwrap_or_else(|| Box::new([0; PAGE]));
                assert!(found == &*expected, "block {block}: page {page} differs");
            }
        }
    }
}
