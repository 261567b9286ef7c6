//! A transfer as JavaScript sees it: its plan comes in, its progress and outcome go out.

use std::sync::Arc;

use mapped_ram_engine::digest::{PieceDigest, PieceDigests};
use mapped_ram_engine::memory::ByteMemory;
use mapped_ram_engine::{EngineError, Plan, Progress, Report, Transfer};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::BindingError;
use crate::job::Job;
use crate::plan::BindingPlan;
use crate::values::number;

/// Counters in bytes of guest memory.
#[napi(object, object_from_js = false)]
pub struct BindingProgress {
    pub bytes_total: i64,
    pub bytes_done: i64,
    pub data_bytes: i64,
}

#[napi(object, object_from_js = false)]
pub struct BindingReport {
    pub io_engine: String,
    pub io_engine_why: String,
    pub registered_buffers: bool,
    pub direct_io: bool,
    pub direct_io_why: String,
    pub channels: u32,
    pub queue_depth: u32,
    pub request_size: u32,
    pub bytes: i64,
    pub data_bytes: i64,
    pub requests: i64,
    pub direct_requests: i64,
    pub request_bytes: i64,
    pub submissions: i64,
    pub elapsed_ms: f64,
}

/// The pieces of a region that have a page that is not zero.
#[napi(object, object_from_js = false)]
pub struct BindingPieces {
    /// The offsets at which the pieces start in their block, ascending.
    pub offsets: Vec<i64>,
    /// The digests of the pieces, one after the other.
    pub digests: Uint8Array,
}

/// The outcome has exactly one of `error` and `report`.
#[napi(object, object_from_js = false)]
pub struct BindingOutcome {
    pub error: Option<BindingError>,
    pub report: Option<BindingReport>,
    /// The bytes of each region that was loaded into a buffer; null for the others.
    #[napi(ts_type = "Array<Uint8Array | null>")]
    pub buffers: Vec<Option<Uint8Array>>,
    /// The pieces of each region when digests were asked for, otherwise none.
    pub pieces: Vec<BindingPieces>,
}

type Buffers = Vec<Option<Arc<ByteMemory>>>;

/// The results that a transfer leaves beside the report.
struct Outputs {
    buffers: Buffers,
    digests: Option<Arc<PieceDigests>>,
}

/// A transfer that is yet to run, runs, or has run.
#[napi]
pub struct BindingTransfer(Job<(Transfer, Outputs)>);

#[napi]
impl BindingTransfer {
    /// Takes the plan. `run` gives the error when something is wrong with it.
    #[napi(constructor)]
    pub fn new(plan: BindingPlan) -> Self {
        let piece_size = plan.piece_size;
        let ready = plan
            .into_plan()
            .and_then(|(plan, buffers)| prepare(plan, buffers, piece_size));
        Self(Job::new(ready, |(transfer, _)| transfer.controls()))
    }

    /// Runs the transfer, once. All threads have ended and all descriptors are closed when the promise settles.
    #[napi]
    pub async fn run(&self) -> BindingOutcome {
        match self.drive().await {
            Ok(outcome) => outcome,
            Err(error) => BindingOutcome {
                error: Some(error.into()),
                report: None,
                buffers: Vec::new(),
                pieces: Vec::new(),
            },
        }
    }

    /// Ends the transfer early; `run` then settles with the kind CANCELLED.
    #[napi]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    #[napi]
    pub fn progress(&self) -> BindingProgress {
        self.0.progress().into()
    }

    async fn drive(&self) -> Result<BindingOutcome, EngineError> {
        let work = |(transfer, outputs): (Transfer, Outputs)| Ok((transfer.run()?, outputs));
        let (report, Outputs { buffers, digests }) = self.0.run(work).await?;
        let regions = buffers.len();
        Ok(BindingOutcome {
            error: None,
            report: Some(report.into()),
            buffers: buffers
                .into_iter()
                .map(|buffer| buffer.map(|bytes| bytes.take().into()))
                .collect(),
            pieces: digests.map_or_else(Vec::new, |digests| pieces(&digests.take(), regions)),
        })
    }
}

impl From<&Progress> for BindingProgress {
    fn from(progress: &Progress) -> Self {
        Self {
            bytes_total: number(progress.total()),
            bytes_done: number(progress.done()),
            data_bytes: number(progress.data()),
        }
    }
}

impl From<Report> for BindingReport {
    fn from(report: Report) -> Self {
        Self {
            io_engine: report.io_engine.name.to_owned(),
            io_engine_why: report.io_engine.why,
            registered_buffers: report.io_engine.registered_buffers,
            direct_io: report.direct_io.on,
            direct_io_why: report.direct_io.why,
            channels: u32::try_from(report.channels).unwrap_or(u32::MAX),
            queue_depth: u32::try_from(report.queue_depth).unwrap_or(u32::MAX),
            request_size: u32::try_from(report.request_size).unwrap_or(u32::MAX),
            bytes: number(report.bytes),
            data_bytes: number(report.data_bytes),
            requests: number(report.counts.requests),
            direct_requests: number(report.counts.direct),
            request_bytes: number(report.counts.bytes),
            submissions: number(report.counts.submissions),
            elapsed_ms: report.elapsed.as_secs_f64() * 1000.0,
        }
    }
}

fn prepare(
    plan: Plan,
    buffers: Buffers,
    piece_size: Option<u32>,
) -> Result<(Transfer, Outputs), EngineError> {
    let digests = piece_size
        .map(|size| PieceDigests::new(u64::from(size), plan.page_size()?))
        .transpose()?
        .map(Arc::new);
    let mut transfer = Transfer::new(plan);
    if let Some(digests) = &digests {
        transfer = transfer.visited_by(Arc::clone(digests) as _);
    }
    Ok((transfer, Outputs { buffers, digests }))
}

/// Splits the digests, which are in order, by region.
fn pieces(digests: &[PieceDigest], regions: usize) -> Vec<BindingPieces> {
    let mut rest = digests;
    (0..regions)
        .map(|region| {
            let (own, behind) = rest.split_at(rest.partition_point(|piece| piece.region <= region));
            rest = behind;
            BindingPieces {
                offsets: own.iter().map(|piece| number(piece.offset)).collect(),
                digests: own
                    .iter()
                    .flat_map(|piece| piece.digest)
                    .collect::<Vec<_>>()
                    .into(),
            }
        })
        .collect()
}
