//! A comparison as JavaScript has it: its plan in, its progress and outcome out.

use std::sync::Arc;

use mapped_ram_engine::compare::{PagesAt, Right};
use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::SnapshotSpec;
use mapped_ram_engine::memory::{ByteMemory, MemorySpec};
use mapped_ram_engine::{ComparePlan, Compared, Comparison, EngineError, ErrorKind, Report};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::BindingError;
use crate::job::Job;
use crate::options::{count, direct_io, engine_choice, file_source, offset};
use crate::transfer::{BindingProgress, BindingReport};

#[napi(object, object_to_js = false)]
pub struct BindingComparePlan {
    pub left: BindingSnapshot,
    /// Where blocks with a `right` are.
    pub right: Option<BindingSnapshot>,
    pub blocks: Vec<BindingCompared>,
    pub page_size: Option<u32>,
    pub channels: Option<u32>,
    pub queue_depth: Option<u32>,
    pub request_size: Option<u32>,
    #[napi(ts_type = "'auto' | 'io_uring' | 'threads'")]
    pub engine: Option<String>,
    #[napi(ts_type = "'auto' | 'on' | 'off'")]
    pub direct_io: Option<String>,
}

/// Exactly one of `path` and `fd`.
#[napi(object, object_to_js = false)]
pub struct BindingSnapshot {
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// How errors call it.
    pub name: String,
}

#[napi(object, object_to_js = false)]
pub struct BindingPagesAt {
    pub pages_offset: i64,
    pub bitmap_offset: i64,
}

/// A block of the left snapshot, and exactly one of `right` and `memory`.
#[napi(object, object_to_js = false)]
pub struct BindingCompared {
    pub name: String,
    pub length: i64,
    pub left: BindingPagesAt,
    pub right: Option<BindingPagesAt>,
    pub memory: Option<BindingMemory>,
}

/// Exactly one of `path`, `fd` and `buffer`.
#[napi(object, object_to_js = false)]
pub struct BindingMemory {
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// Copied when the comparison is made.
    pub buffer: Option<Uint8Array>,
    pub offset: i64,
}

/// `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingCompareOutcome {
    pub error: Option<BindingError>,
    pub report: Option<BindingReport>,
    /// By block, two bits a page: bits 2 × (i % 4) and the next of byte i / 4 are 0 for an equal page, 1 for a changed
    /// one, 2 for one that became zero, 3 for one that became data.
    pub differences: Vec<Uint8Array>,
}

/// A comparison that is yet to run, runs, or has run.
#[napi]
pub struct BindingComparison(Job<Comparison>);

#[napi]
impl BindingComparison {
    /// Takes the plan. What is wrong with it comes out of `run`.
    #[napi(constructor)]
    pub fn new(plan: BindingComparePlan) -> Self {
        let ready = plan.into_plan().map(Comparison::new);
        Self(Job::new(ready, |comparison| {
            (comparison.cancel_token(), comparison.progress())
        }))
    }

    /// Runs it, once. When the promise settles, all threads have ended and all descriptors are closed.
    #[napi]
    pub async fn run(&self) -> BindingCompareOutcome {
        match self.drive().await {
            Ok((report, differences)) => BindingCompareOutcome {
                error: None,
                report: Some(report.into()),
                differences: differences.into_iter().map(Uint8Array::from).collect(),
            },
            Err(error) => BindingCompareOutcome {
                error: Some(error.into()),
                report: None,
                differences: Vec::new(),
            },
        }
    }

    /// Ends the comparison early; `run` then settles with the kind CANCELLED.
    #[napi]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    #[napi]
    pub fn progress(&self) -> BindingProgress {
        self.0.progress().into()
    }

    async fn drive(&self) -> Result<(Report, Vec<Vec<u8>>)> {
        let work = |comparison: Comparison| {
            let outcome = comparison.run()?;
            let differences = outcome.differences.into_iter();
            let bytes = differences.map(|differences| differences.into_bytes());
            Ok((outcome.report, bytes.collect()))
        };
        self.0.run(work).await
    }
}

impl BindingComparePlan {
    fn into_plan(self) -> Result<ComparePlan> {
        let blocks = self.blocks.into_iter().map(BindingCompared::into_compared);
        let right = self.right.map(BindingSnapshot::into_spec).transpose()?;
        let mut plan = ComparePlan::new(self.left.into_spec()?, right, blocks.collect::<Result<_>>()?);
        plan.page_size = self.page_size.map_or(plan.page_size, u64::from);
        plan.channels = self.channels.map(count).transpose()?;
        plan.queue_depth = self.queue_depth.map_or(Ok(plan.queue_depth), count)?;
        plan.request_size = self.request_size.map_or(Ok(plan.request_size), count)?;
        plan.engine = engine_choice(self.engine.as_deref())?;
        plan.direct_io = direct_io(self.direct_io.as_deref())?;
        Ok(plan)
    }
}

impl BindingSnapshot {
    fn into_spec(self) -> Result<SnapshotSpec> {
        Ok(SnapshotSpec {
            file: file_source("snapshot", self.path, self.fd)?,
            direct: None,
            name: self.name,
        })
    }
}

impl BindingPagesAt {
    fn into_pages(self) -> Result<PagesAt> {
        Ok(PagesAt {
            pages_offset: offset("pagesOffset", self.pages_offset)?,
            bitmap_offset: offset("bitmapOffset", self.bitmap_offset)?,
        })
    }
}

impl BindingCompared {
    fn into_compared(self) -> Result<Compared> {
        let right = match (self.right, self.memory) {
            (Some(pages), None) => Right::Pages(pages.into_pages()?),
            (None, Some(memory)) => memory.into_right(&self.name)?,
            _ => {
                let message = format!("block {}: expected exactly one of right and memory", self.name);
                return Err(EngineError::new(ErrorKind::InvalidArgument, message));
            }
        };
        Ok(Compared {
            length: offset("length", self.length)?,
            left: self.left.into_pages()?,
            right,
            name: self.name,
        })
    }
}

impl BindingMemory {
    fn into_right(self, name: &str) -> Result<Right> {
        let memory = match self.buffer {
            // JavaScript may change its buffer while another thread reads it, so the engine gets a copy.
            Some(buffer) => MemorySpec::Bytes(Arc::new(ByteMemory::new(buffer.to_vec()))),
            None => MemorySpec::File(file_source(name, self.path, self.fd)?),
        };
        Ok(Right::Memory {
            memory,
            offset: offset("memoryOffset", self.offset)?,
        })
    }
}
