//! The place that the pages of a snapshot come from.

use std::fmt::Debug;
use std::pin::Pin;

use mapped_ram_engine::error::Result;

use crate::batch::Batch;
use crate::page_set::PageSet;

/// A read under way. Dropping it gives the read up.
pub type Reading<'a> = Pin<Box<dyn Future<Output = (Batch, Result<()>)> + Send + 'a>>;

/// The place that the pages of a snapshot come from: files, or whatever else can fill in pages.
///
/// A batch has pages of one block, in runs of consecutive pages that all have content. A source fills in all of them,
/// or fails. After a failure the server asks for the host pages one by one, so a source need not say which page it was.
pub trait PageSource: Send + Sync + Debug {
    /// The pages of a block that are not zero. It is known before anything is read, and never changes.
    fn content(&self, block: usize) -> &PageSet;

    /// Fills in the batch if that takes no waiting, and says whether it has done so. It may leave some pages filled in
    /// when it has not.
    /// # Errors
    /// when a page cannot be read
    fn read_now(&self, batch: &mut Batch) -> Result<bool>;

    /// Fills in the batch, and gives it back.
    fn read(&self, batch: Batch) -> Reading<'_>;
}
