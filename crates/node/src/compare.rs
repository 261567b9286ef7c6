//! A comparison as JavaScript sees it: its plan comes in, its progress and outcome go out.

use mapped_ram_engine::compare::Right;
use mapped_ram_engine::error::Result;
use mapped_ram_engine::{ComparePlan, Compared, Comparison, EngineError, ErrorKind, Report};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::BindingError;
use crate::job::Job;
use crate::plan_parts::{BindingEngineOptions, BindingMemory, BindingPageArea, BindingSnapshot};
use crate::transfer::{BindingProgress, BindingReport};

#[napi(object, object_to_js = false)]
pub struct BindingComparePlan {
    pub left: BindingSnapshot,
    /// The snapshot in which the `right` areas lie.
    pub right: Option<BindingSnapshot>,
    pub blocks: Vec<BindingCompared>,
    pub options: BindingEngineOptions,
}

/// A block of the left snapshot, and exactly one of `right` and `memory`, which is as long.
#[napi(object, object_to_js = false)]
pub struct BindingCompared {
    pub name: String,
    pub left: BindingPageArea,
    pub right: Option<BindingPageArea>,
    pub memory: Option<BindingMemory>,
}

/// The outcome has `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingCompareOutcome {
    pub error: Option<BindingError>,
    pub report: Option<BindingReport>,
    /// The differences by block, two bits a page: bits 2 × (i % 4) and the next of byte i / 4 are 0 for an equal page,
    /// 1 for a changed one, 2 for one that became zero, 3 for one that became data.
    pub differences: Vec<Uint8Array>,
}

/// A comparison that is yet to run, runs, or has run.
#[napi]
pub struct BindingComparison(Job<Comparison>);

#[napi]
impl BindingComparison {
    /// Takes the plan. `run` gives the error when something is wrong with it.
    #[napi(constructor)]
    pub fn new(plan: BindingComparePlan) -> Self {
        let ready = plan.into_plan().map(Comparison::new);
        Self(Job::new(ready, Comparison::controls))
    }

    /// Runs the comparison, once. All threads have ended and all descriptors are closed when the promise settles.
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
        plan.tuning = self.options.into_tuning()?;
        Ok(plan)
    }
}

impl BindingCompared {
    fn into_compared(self) -> Result<Compared> {
        let right = match (self.right, self.memory) {
            (Some(area), None) => Right::Pages(area.into_area()?),
            (None, Some(memory)) => {
                let memory = memory.into_memory(&self.name)?;
                Right::Memory {
                    memory: memory.spec,
                    offset: memory.offset,
                }
            }
            _ => {
                let message = format!("block {}: expected exactly one of right and memory", self.name);
                return Err(EngineError::new(ErrorKind::InvalidArgument, message));
            }
        };
        Ok(Compared {
            left: self.left.into_area()?,
            right,
            name: self.name,
        })
    }
}
