//! The choices of whoever starts a server.

use std::time::Duration;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::page_set::PageSet;
use crate::records::PAGE_SIZE;

/// What is pushed: the pages that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Sections of 256 KiB, one after the other.
    Full,
    /// Sections of 64 KiB, and none for a moment behind an answer.
    Gentle,
    /// Nothing: QEMU gets the pages that it asks for.
    Off,
}

/// The pages of a block that one file has.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The place of the file in the list of files.
    pub file: usize,
    /// The place of the block's first page in the file, in bytes.
    pub pages_offset: u64,
    pub pages: PageSet,
}

/// A RAM block as QEMU has it.
#[derive(Debug, Clone)]
pub struct ServedBlock {
    pub id: String,
    /// In bytes, whole host pages.
    pub length: u64,
    /// The size of the pages that QEMU places, in bytes: a power of two, 4096 or more.
    pub host_page: u64,
    /// The target pages to be pushed first.
    pub hot: Option<PageSet>,
}

/// The choices of whoever starts a server.
#[derive(Debug)]
pub struct ServeOptions {
    /// The path of the unix socket where QEMU listens, or a connected socket.
    pub connection: FileSource,
    /// A second connection carries the answers (QEMU's capability postcopy-preempt). Needs a path.
    pub preempt: bool,
    /// How long QEMU may take to listen.
    pub connect_timeout: Duration,
    pub blocks: Vec<ServedBlock>,
    /// The number of the section of the RAM.
    pub section_id: u32,
    /// The bytes before the first page. `None` takes over from a server that died.
    pub opening: Option<Vec<u8>>,
    pub push: Push,
    /// Limits what is pushed, in bytes per second. Answers have no limit.
    pub max_bandwidth: Option<u64>,
    /// Sends the end when all content is sent. Otherwise `Control::end` must be called, too.
    pub ends_by_itself: bool,
}

impl ServeOptions {
    /// Checks everything that can be checked before the connection.
    pub(crate) fn check(&self) -> Result<()> {
        if self.preempt && !matches!(self.connection, FileSource::Path(_)) {
            return Err(invalid(
                "preempt",
                "a path, for the second connection",
                "a descriptor",
            ));
        }
        if self.max_bandwidth == Some(0) {
            return Err(invalid("the bandwidth", "1 byte per second or more", "0"));
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.check()?;
            if self.blocks[..index].iter().any(|other| other.id == block.id) {
                return Err(invalid("the blocks", "different names", &block.id));
            }
        }
        Ok(())
    }
}

impl ServedBlock {
    /// The number of target pages.
    pub fn pages(&self) -> u64 {
        self.length / PAGE_SIZE
    }

    fn check(&self) -> Result<()> {
        let what = format!("block {:?}", self.id);
        let size = self.host_page;
        if !size.is_power_of_two() || size < PAGE_SIZE {
            let expected = "host pages of 4096 bytes or a larger power of two";
            return Err(invalid(&what, expected, &size.to_string()));
        }
        if self.length == 0 || !self.length.is_multiple_of(size) {
            let expected = format!("whole host pages of {size} bytes");
            return Err(invalid(&what, &expected, &self.length.to_string()));
        }
        if self.id.is_empty() || self.id.len() > 255 {
            let found = format!("{} bytes", self.id.len());
            return Err(invalid(&what, "a name of 1 to 255 bytes", &found));
        }
        Ok(())
    }
}

fn invalid(what: &str, expected: &str, found: &str) -> EngineError {
    let words = format!("{what}: expected {expected}, found {found}");
    EngineError::new(ErrorKind::InvalidArgument, words)
}
