//! A visitor that keeps what it is shown, and minds that every page is shown once.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use mapped_ram_engine::{EngineError, Pages, Visitor};

#[derive(Debug)]
pub(crate) struct Copier {
    /// The file of each region, which gets every run at its offset in the block.
    files: Vec<File>,
    unit: u64,
    /// The region and the offset in the block of every unit that was shown.
    seen: Mutex<BTreeSet<(usize, u64)>>,
}

impl Copier {
    pub(crate) fn new<'a>(files: impl Iterator<Item = &'a File>, unit: u64) -> Self {
        Self {
            files: files
                .map(|file| file.try_clone().expect("one more descriptor"))
                .collect(),
            unit,
            seen: Mutex::default(),
        }
    }
}

impl Visitor for Copier {
    fn unit(&self) -> u64 {
        self.unit
    }

    fn visit(&self, pages: &Pages<'_>) -> Result<(), EngineError> {
        let unit = self.unit.max(pages.page_size as u64);
        assert!(pages.start.is_multiple_of(unit), "{} in {unit}", pages.start);
        let units = (pages.bytes.len() as u64).div_ceil(unit);
        let mut seen = self.seen.lock().expect("no panic held it");
        for index in 0..units {
            let start = pages.start + index * unit;
            assert!(seen.insert((pages.region, start)), "shown twice: {start}");
        }
        drop(seen);
        let mut end = 0;
        for run in pages.runs {
            assert!(run.start >= end && !run.is_empty(), "{:?}", pages.runs);
            end = run.end;
            self.files[pages.region]
                .write_all_at(&pages.bytes[run.clone()], pages.start + run.start as u64)
                .expect("the copy takes the run");
        }
        Ok(())
    }
}
