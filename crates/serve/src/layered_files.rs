//! Pages in files, read through the page cache: a snapshot, or a delta above its base.

use std::io::IoSliceMut;
use std::sync::Arc;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;

use crate::batch::{Batch, Run};
use crate::buffered_file::BufferedFile;
use crate::layers::{Layers, Stretch};
use crate::options::Layer;
use crate::page_set::PageSet;
use crate::source::{PageSource, Reading};

/// The most places that one system call fills in (IOV_MAX).
const MOST_SLOTS: usize = 1024;

/// A source of pages in one or more files. An earlier layer hides a later one. Reads are buffered.
#[derive(Debug, Clone)]
pub struct LayeredFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Vec<BufferedFile>,
    layers: Layers,
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
        let files = files
            .into_iter()
            .map(|(source, name)| BufferedFile::open(&source, name));
        let files = files.collect::<Result<Vec<_>>>()?;
        let layers = Layers::new(files.len(), blocks)?;
        Ok(Self(Arc::new(Inner { files, layers })))
    }
}

impl PageSource for LayeredFiles {
    fn content(&self, block: usize) -> &PageSet {
        self.0.layers.content(block)
    }

    fn read_now(&self, batch: &mut Batch) -> Result<bool> {
        let block = batch.block();
        for run in batch.runs() {
            for mut stretch in self.0.stretches(block, run)? {
                let file = &self.0.files[stretch.file];
                if !file.read_now(stretch.offset, &mut stretch.pages)? {
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
            for stretch in &all {
                self.files[stretch.file].announce(stretch.offset, stretch.pages.len());
            }
        }
        all.into_iter()
            .try_for_each(|mut stretch| self.files[stretch.file].read(stretch.offset, &mut stretch.pages))
    }

    fn stretches<'a>(&self, block: usize, run: Run<'a>) -> Result<Vec<Stretch<IoSliceMut<'a>>>> {
        let first = run.first;
        self.layers
            .stretches(block, first, run.slots().map(IoSliceMut::new), MOST_SLOTS)
    }
}
