//! Pages in files, read past the page cache by the engine's queues: a snapshot, or a delta above its base.
//!
//! ```text
//!  a batch ─ errand ─┬─ parts ─► thread of the delta ─ queue ─► delta
//!                    └─ parts ─► thread of the base ── queue ─► base
//! ```

mod errand;
mod reader;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::{FileSource, SnapshotFile, SnapshotSource, SnapshotSpec};
use mapped_ram_engine::queue::{QueueFactory, QueueOptions, make_queues};
use mapped_ram_engine::{DirectIo, EngineError, ErrorKind, IoEngine};
use tokio::sync::oneshot;

use crate::batch::Batch;
use crate::layers::Layers;
use crate::options::Layer;
use crate::page_set::PageSet;
use crate::records::PAGE_SIZE;
use crate::source::{PageSource, Reading};

use errand::{Errand, Part};
use reader::Reader;

/// The most bytes of one request. It is the most that many disks take at once.
const SLOT_SIZE: u64 = 128 << 10;
/// Room for 4 pushed batches, which is 8 requests where their pages lie side by side, and for answers beside them.
const SLOTS: usize = 32;

/// A source of pages in one or more files. An earlier layer hides a later one. Reads go past the page cache.
#[derive(Debug)]
pub struct DirectFiles {
    layers: Layers,
    readers: Vec<Handle>,
}

/// The thread of a file. Dropping the handle ends it.
#[derive(Debug)]
struct Handle {
    orders: Option<Sender<Vec<Part>>>,
    thread: Option<JoinHandle<()>>,
}

impl DirectFiles {
    /// Opens the files, each with the name that errors call it by. `blocks` has each block's number of pages
    /// and its layers, which name files by their places.
    /// # Errors
    /// of the kind DirectIoUnavailable when a file cannot be read past the page cache; when a file cannot be opened,
    /// when a layer names a file that is not there, and when the system has no queue or thread to give
    pub fn open(
        files: impl IntoIterator<Item = (FileSource, String)>,
        blocks: Vec<(u64, Vec<Layer>)>,
    ) -> Result<Self> {
        let make = |count, file: &_, options| make_queues(IoEngine::Auto, count, file, options);
        Self::open_with(files, blocks, &make)
    }

    /// Does the same with queues that the caller makes.
    /// # Errors
    /// as `open`
    pub fn open_with(
        files: impl IntoIterator<Item = (FileSource, String)>,
        blocks: Vec<(u64, Vec<Layer>)>,
        make_queues: &QueueFactory<'_>,
    ) -> Result<Self> {
        let files = files.into_iter().map(|(source, name)| open(source, name));
        let files = files.collect::<Result<Vec<_>>>()?;
        let layers = Layers::new(files.len(), blocks)?;
        let readers = files.into_iter().map(|file| Handle::start(file, make_queues));
        Ok(Self {
            layers,
            readers: readers.collect::<Result<_>>()?,
        })
    }

    /// Says whether a file can be read past the page cache.
    /// # Errors
    /// of the kind DirectIoUnavailable when it cannot; when it cannot be opened
    pub fn check(source: FileSource, name: String) -> Result<()> {
        open(source, name).map(drop)
    }

    /// Hands each file's thread its parts of the batch.
    fn order(&self, batch: Batch, answer: oneshot::Sender<(Batch, Result<()>)>) {
        let mut batch = batch;
        let block = batch.block();
        let mut stretches = Vec::new();
        let mut failure = None;
        for run in batch.runs() {
            let first = run.first;
            match self
                .layers
                .stretches(block, first, run.slots().map(drop), usize::MAX)
            {
                Ok(more) => stretches.extend(more),
                Err(error) => failure = Some(error),
            }
        }
        let errand = Arc::new(Errand::new(batch, answer));
        if let Some(error) = failure {
            errand.fail(error);
            return;
        }
        for (file, reader) in self.readers.iter().enumerate() {
            let own = stretches.iter().filter(|stretch| stretch.file == file);
            let parts: Vec<Part> = own
                .map(|stretch| Part {
                    errand: Arc::clone(&errand),
                    offset: stretch.offset,
                    first: stretch.first,
                    pages: stretch.pages.len() as u64,
                })
                .collect();
            if let Some(orders) = reader.orders.as_ref().filter(|_| !parts.is_empty()) {
                // What a thread that has gone does not take ends the errand.
                let _ = orders.send(parts);
            }
        }
    }
}

impl PageSource for DirectFiles {
    fn content(&self, block: usize) -> &PageSet {
        self.layers.content(block)
    }

    /// There is always a disk to wait for.
    fn read_now(&self, _batch: &mut Batch) -> Result<bool> {
        Ok(false)
    }

    fn read(&self, batch: Batch) -> Reading<'_> {
        let (answer, answered) = oneshot::channel();
        self.order(batch, answer);
        Box::pin(async move {
            match answered.await {
                Ok(done) => done,
                Err(error) => std::panic::resume_unwind(Box::new(error)),
            }
        })
    }
}

impl Handle {
    fn start(file: Arc<SnapshotFile>, make_queues: &QueueFactory<'_>) -> Result<Self> {
        let alignment = file.alignment;
        let align = u64::from(alignment.offset.max(alignment.memory)).max(PAGE_SIZE);
        // Slots begin at pages of memory.
        if u64::from(alignment.memory) > PAGE_SIZE || align > SLOT_SIZE / 2 {
            let words =
                format!("the file wants direct I/O at an alignment of {align} bytes, which is too much");
            return Err(EngineError::new(ErrorKind::DirectIoUnavailable, words).on(&file.name));
        }
        let slot_size = usize::try_from(SLOT_SIZE).unwrap_or(usize::MAX);
        let options = QueueOptions {
            depth: SLOTS,
            slots: SLOTS,
            slot_size,
        };
        let (mut queues, made) = make_queues(1, &file, options)?;
        let none = || EngineError::new(ErrorKind::Internal, "no queue was made");
        let queue = queues.pop().ok_or_else(none)?;
        let (orders, ordered) = channel();
        let reader = Reader::new(file, queue, ordered, align, (made.slots, SLOT_SIZE));
        let thread = thread::Builder::new().name("mapped-ram read".to_owned());
        let thread = thread
            .spawn(move || reader.run())
            .map_err(|error| EngineError::io("starting a thread", error))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with has failed its errands.
            let _ = thread.join();
        }
    }
}

fn open(source: FileSource, name: String) -> Result<Arc<SnapshotFile>> {
    let spec = SnapshotSpec {
        source: SnapshotSource::File(source),
        direct: None,
        name,
    };
    SnapshotFile::open(&spec, false, DirectIo::On, None).map(Arc::new)
}
