//! The file that has a page, and the page's place in it.

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::options::Layer;
use crate::page_set::PageSet;
use crate::records::PAGE_SIZE;

/// The layers of each block. An earlier layer hides a later one.
#[derive(Debug)]
pub(crate) struct Layers(Vec<(PageSet, Vec<Layer>)>);

/// Pages of a block that follow each other, in one file, too.
#[derive(Debug)]
pub(crate) struct Stretch<T> {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    /// The number of the first page in its block.
    pub(crate) first: u64,
    /// What belongs to each of the pages.
    pub(crate) pages: Vec<T>,
}

impl<T> Stretch<T> {
    fn end(&self) -> u64 {
        self.offset + self.pages.len() as u64 * PAGE_SIZE
    }
}

impl Layers {
    /// Takes each block's number of pages, and its layers in any of so many files.
    /// # Errors
    /// when a layer names a file that is not there
    pub(crate) fn new(files: usize, blocks: Vec<(u64, Vec<Layer>)>) -> Result<Self> {
        let mut with_content = Vec::new();
        for (pages, layers) in blocks {
            if let Some(layer) = layers.iter().find(|layer| layer.file >= files) {
                let words = format!("layer: expected one of {files} files, found {}", layer.file);
                return Err(EngineError::new(ErrorKind::InvalidArgument, words));
            }
            let mut content = PageSet::new(pages)?;
            for layer in &layers {
                content.add_all(&layer.pages);
            }
            with_content.push((content, layers));
        }
        Ok(Self(with_content))
    }

    /// The pages of a block that some layer has.
    pub(crate) fn content(&self, block: usize) -> &PageSet {
        &self.0[block].0
    }

    /// Splits consecutive pages where another layer has them, and where a stretch has `most` of them.
    pub(crate) fn stretches<T>(
        &self,
        block: usize,
        first: u64,
        pages: impl Iterator<Item = T>,
        most: usize,
    ) -> Result<Vec<Stretch<T>>> {
        let mut stretches: Vec<Stretch<T>> = Vec::new();
        for (page, own) in (first..).zip(pages) {
            let (file, offset) = self.place(block, page)?;
            match stretches.last_mut() {
                Some(last) if last.file == file && last.end() == offset && last.pages.len() < most => {
                    last.pages.push(own);
                }
                _ => stretches.push(Stretch {
                    file,
                    offset,
                    first: page,
                    pages: vec![own],
                }),
            }
        }
        Ok(stretches)
    }

    fn place(&self, block: usize, page: u64) -> Result<(usize, u64)> {
        let layer = self.0[block].1.iter().find(|layer| layer.pages.contains(page));
        let layer = layer.ok_or_else(|| EngineError::new(ErrorKind::Internal, "a page in no layer"))?;
        let offset = page
            .checked_mul(PAGE_SIZE)
            .and_then(|start| start.checked_add(layer.pages_offset))
            .filter(|offset| i64::try_from(offset.saturating_add(PAGE_SIZE)).is_ok());
        let too_far = || EngineError::new(ErrorKind::OutOfRange, "a page behind the end of any file");
        Ok((layer.file, offset.ok_or_else(too_far)?))
    }
}
