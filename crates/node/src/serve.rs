//! The page server as JavaScript sees it: QEMU restores a snapshot lazily, and asks it for pages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use mapped_ram_serve::{Control, ServeReport};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::driver::Driver;
use crate::error::BindingError;
use crate::serve_options::{Ready, check_direct, ready, run};
use crate::values::number;

/// The pages of a block that one file has.
#[napi(object, object_to_js = false)]
pub struct BindingServedLayer {
    /// The place of the file in `files`.
    pub file: u32,
    pub pages_offset: f64,
    /// The place of the bitmap in the file. Bit i % 8 of byte i / 8: page i of the block is in this layer.
    pub bitmap_offset: f64,
}

/// A RAM block as QEMU has it.
#[napi(object, object_to_js = false)]
pub struct BindingServedBlock {
    pub id: String,
    pub length: f64,
    /// The size of the pages that QEMU places, in bytes.
    pub host_page: f64,
    /// An earlier layer hides a later one.
    pub layers: Vec<BindingServedLayer>,
    /// The target pages to be pushed first, as a bitmap.
    pub hot: Option<Uint8Array>,
}

/// A file, by its path or by a descriptor, which is duplicated.
#[napi(object, object_to_js = false)]
pub struct BindingServedFile {
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// Errors call the file by this name.
    pub name: String,
}

#[napi(object, object_to_js = false)]
pub struct BindingPageServerOptions {
    /// The unix socket where QEMU listens.
    pub path: Option<String>,
    /// A connected socket, which is duplicated.
    pub descriptor: Option<i32>,
    pub preempt: bool,
    /// How long QEMU may take to listen.
    pub connect_ms: f64,
    pub files: Vec<BindingServedFile>,
    /// Files are read past the page cache.
    pub direct_io: bool,
    pub blocks: Vec<BindingServedBlock>,
    pub section_id: u32,
    /// The bytes before the first page. None takes over from a server that died.
    pub opening: Option<Uint8Array>,
    #[napi(ts_type = "'full' | 'gentle' | 'off'")]
    pub push: String,
    /// The most that is pushed, in bytes per second.
    pub max_bandwidth: Option<f64>,
    /// Sends the end when all content is sent; otherwise `end` has to be called, too.
    pub ends_by_itself: bool,
}

/// Says why a file cannot be read past the page cache; null when it can.
#[napi]
pub fn check_direct_io(file: BindingServedFile) -> Option<BindingError> {
    check_direct(file).err().map(BindingError::from)
}

/// The state of a server at one moment.
#[napi(object, object_from_js = false)]
pub struct BindingServeProgress {
    pub content_bytes: i64,
    /// The content that QEMU was sent, or had when the server took over.
    pub sent_bytes: i64,
    pub requests: i64,
    pub pending_requests: i64,
    pub loaded: bool,
    pub pushed: bool,
    /// The end of the stream is sent.
    pub ended: bool,
}

/// Times in microseconds.
#[napi(object, object_from_js = false)]
pub struct BindingAnswerTimes {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The account of a server that has done its work.
#[napi(object, object_from_js = false)]
pub struct BindingServeReport {
    pub requests: i64,
    pub repeated: i64,
    pub answered_pages: i64,
    pub zero_pages: i64,
    pub pushed_bytes: i64,
    pub answered_bytes: i64,
    pub socket_bytes: i64,
    pub connected_ms: f64,
    pub loaded_ms: f64,
    pub pushed_ms: Option<f64>,
    pub complete_ms: f64,
    pub answer_microseconds: BindingAnswerTimes,
}

/// The outcome has exactly one of the two.
#[napi(object, object_from_js = false)]
pub struct BindingServed {
    pub error: Option<BindingError>,
    pub report: Option<BindingServeReport>,
}

/// A page server that is yet to run, runs, or has run.
#[napi]
pub struct BindingPageServer {
    /// The options, or what is wrong with them, which comes out when the server runs.
    ready: Mutex<Option<Result<Ready>>>,
    control: Arc<Control>,
    driver: Driver,
}

#[napi]
impl BindingPageServer {
    /// Takes the options. `run` gives the error when something is wrong with them.
    #[napi(constructor)]
    pub fn new(options: BindingPageServerOptions) -> Self {
        Self {
            ready: Mutex::new(Some(ready(options))),
            control: Arc::default(),
            driver: Driver::default(),
        }
    }

    /// Serves until QEMU has all, once. The thread has ended and all sockets and files are closed when the promise
    /// settles.
    #[napi]
    pub async fn run(&self) -> BindingServed {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let control = Arc::clone(&self.control);
        let Some(ready) = ready else {
            let error = EngineError::new(ErrorKind::InvalidArgument, "a page server runs only once");
            return Err(error).into();
        };
        let served = match ready {
            Ok(ready) => {
                let control = Arc::clone(&control);
                self.driver.run(move || run(ready, &control)).await
            }
            Err(error) => Err(error),
        };
        control.finish();
        served.into()
    }

    /// Waits until the guest's devices are loaded: true. False when `run` ends before.
    #[napi]
    pub async fn loaded(&self) -> bool {
        self.control.loaded().await
    }

    /// Waits until all content is sent: true. False when `run` ends before.
    #[napi]
    pub async fn pushed(&self) -> bool {
        self.control.pushed().await
    }

    /// Waits for the first page that cannot be read; null when `run` ends without one.
    #[napi]
    pub async fn unreadable(&self) -> Option<BindingError> {
        self.control.unreadable().await.map(BindingError::from)
    }

    /// Lets the server send the end once all content is sent.
    #[napi]
    pub fn end(&self) {
        self.control.end();
    }

    /// Ends the server early; `run` then settles with the kind CANCELLED.
    #[napi]
    pub fn stop(&self) {
        self.control.stop();
    }

    #[napi]
    pub fn progress(&self) -> BindingServeProgress {
        let progress = self.control.progress();
        BindingServeProgress {
            content_bytes: number(progress.content_bytes),
            sent_bytes: number(progress.sent_bytes),
            requests: number(progress.requests),
            pending_requests: number(progress.pending_requests),
            loaded: progress.loaded,
            pushed: progress.pushed,
            ended: progress.ended,
        }
    }
}

/// A worker that is terminated drops its objects. The server must be over before its memory goes.
impl Drop for BindingPageServer {
    fn drop(&mut self) {
        self.control.stop();
        self.driver.join();
    }
}

impl From<Result<ServeReport>> for BindingServed {
    fn from(served: Result<ServeReport>) -> Self {
        match served {
            Ok(report) => Self {
                error: None,
                report: Some(report.into()),
            },
            Err(error) => Self {
                error: Some(error.into()),
                report: None,
            },
        }
    }
}

impl From<ServeReport> for BindingServeReport {
    fn from(report: ServeReport) -> Self {
        let times = report.answer_microseconds;
        Self {
            requests: number(report.requests),
            repeated: number(report.repeated),
            answered_pages: number(report.answered_pages),
            zero_pages: number(report.zero_pages),
            pushed_bytes: number(report.pushed_bytes),
            answered_bytes: number(report.answered_bytes),
            socket_bytes: number(report.socket_bytes),
            connected_ms: milliseconds(report.connected),
            loaded_ms: milliseconds(report.loaded),
            pushed_ms: report.pushed.map(milliseconds),
            complete_ms: milliseconds(report.complete),
            answer_microseconds: BindingAnswerTimes {
                p50: times.p50,
                p99: times.p99,
                max: times.max,
            },
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
