//! Pages in files: a snapshot, or a delta above its base.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::file::source::open;
use mapped_ram_engine::{EngineError, ErrorKind};
use rustix::fs::{Advice, fadvise, fstatfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::batch::{Batch, Run};
use crate::options::Layer;
use crate::page_set::PageSet;
use crate::records::PAGE_SIZE;
use crate::source::{PageSource, Reading};

/// The most places that one system call fills in (IOV_MAX).
const MOST_SLOTS: usize = 1024;
/// The magic number of tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// A source of pages in one or more files. An earlier layer hides a later one. Reads are buffered.
#[derive(Debug, Clone)]
pub struct LayeredFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Vec<Opened>,
    blocks: Vec<(PageSet, Vec<Layer>)>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    name: String,
    /// False once the filesystem has said that it cannot tell whether a read waits.
    tells_waiting: AtomicBool,
    /// The file is in memory as it is: no read waits for a disk.
    never_waits: bool,
}

/// Pages of one layer that follow each other in a file.
struct Stretch<'a> {
    opened: &'a Opened,
    offset: u64,
    slots: Vec<IoSliceMut<'a>>,
}

impl LayeredFiles {
    /// Opens the files, each with the name that errors call it by. `blocks` has each block's number of pages
    /// and its layers, which name files by their places.
    /// # Errors
    /// when a file cannot be opened, and when a layer names a file that is not there
    pub fn open(
        files: impl IntoIterator<Item = (FileSource, String)>,
        blocks: Vec<(u64, Vec<Layer>)>,
    ) -> Result<Self> {
        let files = files.into_iter().map(|(source, name)| Opened::new(&source, name));
        let files = files.collect::<Result<Vec<_>>>()?;
        let mut with_content = Vec::new();
        for (pages, layers) in blocks {
            if let Some(layer) = layers.iter().find(|layer| layer.file >= files.len()) {
                let words = format!(
                    "layer: expected one of {} files, found {}",
                    files.len(),
                    layer.file
                );
                return Err(EngineError::new(ErrorKind::InvalidArgument, words));
            }
            let mut content = PageSet::new(pages)?;
            for layer in &layers {
                content.add_all(&layer.pages);
            }
            with_content.push((content, layers));
        }
        Ok(Self(Arc::new(Inner {
            files,
            blocks: with_content,
        })))
    }
}

impl PageSource for LayeredFiles {
    fn content(&self, block: usize) -> &PageSet {
        &self.0.blocks[block].0
    }

    fn read_now(&self, batch: &mut Batch) -> Result<bool> {
        let block = batch.block();
        for run in batch.runs() {
            for mut stretch in self.0.stretches(block, run)? {
                if !stretch.read_now()? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn read(&self, mut batch: Batch) -> Reading<'_> {
        let inner = Arc::clone(&self.0);
        let work = tokio::task::spawn_blocking(move || {
            let result = inner.read(&mut batch);
            (batch, result)
        });
        Box::pin(async move {
            match work.await {
                Ok(done) => done,
                // The runtime goes away, and nobody waits for the batch any more.
                Err(error) if error.is_cancelled() => std::future::pending().await,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        })
    }
}

impl Inner {
    fn read(&self, batch: &mut Batch) -> Result<()> {
        let block = batch.block();
        let mut all = Vec::new();
        for run in batch.runs() {
            all.extend(self.stretches(block, run)?);
        }
        if all.len() > 1 {
            // The disk shall read the stretches side by side.
            all.iter().for_each(Stretch::announce);
        }
        all.into_iter().try_for_each(Stretch::read)
    }

    /// Splits a run where another layer has the pages.
    fn stretches<'a>(&'a self, block: usize, run: Run<'a>) -> Result<Vec<Stretch<'a>>> {
        let layers = &self.blocks[block].1;
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        let first = run.first;
        for (page, slot) in (first..).zip(run.slots()) {
            let layer = layers.iter().find(|layer| layer.pages.contains(page));
            let layer = layer.ok_or_else(|| EngineError::new(ErrorKind::Internal, "a page in no layer"))?;
            let offset = page
                .checked_mul(PAGE_SIZE)
                .and_then(|start| start.checked_add(layer.pages_offset));
            let too_far = || EngineError::new(ErrorKind::OutOfRange, "a page behind the end of any file");
            let offset = offset.ok_or_else(too_far)?;
            let opened = &self.files[layer.file];
            let slot = IoSliceMut::new(slot);
            match stretches.last_mut() {
                Some(last) if last.goes_on_at(opened, offset) => last.slots.push(slot),
                _ => stretches.push(Stretch {
                    opened,
                    offset,
                    slots: vec![slot],
                }),
            }
        }
        Ok(stretches)
    }
}

impl Stretch<'_> {
    fn goes_on_at(&self, opened: &Opened, offset: u64) -> bool {
        std::ptr::eq(self.opened, opened)
            && self.offset + self.bytes() == offset
            && self.slots.len() < MOST_SLOTS
    }

    fn bytes(&self) -> u64 {
        self.slots.len() as u64 * PAGE_SIZE
    }

    /// Reads if that takes no waiting.
    fn read_now(&mut self) -> Result<bool> {
        let opened = self.opened;
        if !opened.tells_waiting.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let flags = if opened.never_waits {
            ReadWriteFlags::empty()
        } else {
            ReadWriteFlags::NOWAIT
        };
        match preadv2(&opened.file, &mut self.slots, self.offset, flags) {
            // The rest is not in the page cache, or behind the end: the waiting read finds out.
            Ok(read) => Ok(read as u64 == self.bytes()),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                opened.tells_waiting.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(opened.failed(self.offset, error.into())),
        }
    }

    fn announce(&self) {
        let length = std::num::NonZeroU64::new(self.bytes());
        // The read itself tells what is wrong with the file.
        let _ = fadvise(&self.opened.file, self.offset, length, Advice::WillNeed);
    }

    fn read(mut self) -> Result<()> {
        let opened = self.opened;
        let whole = loop {
            match preadv2(
                &opened.file,
                &mut self.slots,
                self.offset,
                ReadWriteFlags::empty(),
            ) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let whole = whole.map_err(|error| opened.failed(self.offset, error.into()))?;
        if whole as u64 == self.bytes() {
            return Ok(());
        }
        // A read that was cut short: page by page, so that each is whole or an error.
        for (index, slot) in (0..).zip(&mut self.slots) {
            let offset = self.offset + index * PAGE_SIZE;
            opened
                .file
                .read_exact_at(slot, offset)
                .map_err(|error| opened.failed(offset, error))?;
        }
        Ok(())
    }
}

impl Opened {
    fn new(source: &FileSource, name: String) -> Result<Self> {
        // A description of our own has no O_DIRECT. A descriptor that cannot be opened anew must do as it is.
        let anew = source.path().map(|path| open(&path, false));
        let file = match (anew, source) {
            (Some(Ok(file)), _) => Ok(file),
            (Some(Err(error)), FileSource::Path(_)) => Err(error),
            _ => source.open(false),
        };
        let file = file.map_err(|error| EngineError::io("opening the snapshot", error).on(name.clone()))?;
        let never_waits = fstatfs(&file).is_ok_and(|system| u64::try_from(system.f_type) == Ok(TMPFS));
        Ok(Self {
            file,
            name,
            tells_waiting: AtomicBool::new(true),
            never_waits,
        })
    }

    fn failed(&self, offset: u64, error: io::Error) -> EngineError {
        let error = if error.kind() == io::ErrorKind::UnexpectedEof {
            EngineError::new(ErrorKind::Truncated, "the file ends before the page does")
        } else {
            EngineError::io("reading a page", error)
        };
        error.at(self.name.clone(), offset)
    }
}
