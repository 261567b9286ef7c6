//! The memory of another process: which pages it has, a copy of some, and whether this process may look.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::process::{
    BlockRuns, ProcessCopy, ProcessPages, ScanMethod, changed_pages, process_rights as rights_of,
};
use mapped_ram_engine::{EngineError, ErrorKind};
use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;

use crate::blocking::blocking;
use crate::error::BindingError;
use crate::values::{bytes, count, flat, invalid, ranges};

/// The outcome has `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingPageScan {
    pub error: Option<BindingError>,
    /// Of each range, offset and length of each run in turn, in bytes from the start of the range.
    pub runs: Vec<Float64Array>,
}

/// A search for pages of a process.
struct Search {
    pid: u32,
    ranges: Vec<Range<u64>>,
    pages: ProcessPages,
    method: ScanMethod,
    unit: u64,
}

/// A search for pages of a process that is yet to run.
#[napi]
pub struct BindingPageSearch(Mutex<Option<Result<Search>>>);

#[napi]
impl BindingPageSearch {
    /// Takes address and length of each range in turn, in bytes. `run` gives the error when something is wrong with them.
    #[napi(
        constructor,
        ts_args_type = "pid: number, places: Float64Array, pages: 'present' | 'data' | 'changed' | 'all', method: 'auto' | 'pagemap' | 'scan', unit: number"
    )]
    pub fn new(pid: u32, places: Float64Array, pages: String, method: String, unit: f64) -> Self {
        let search = || {
            Ok(Search {
                pid,
                ranges: ranges("range", &places)?,
                pages: process_pages(&pages)?,
                method: scan_method(&method)?,
                unit: bytes("unit", unit)?,
            })
        };
        Self(Mutex::new(Some(search())))
    }

    /// Looks, once.
    #[napi]
    pub async fn run(&self) -> BindingPageScan {
        let search = take(&self.0, "a search runs only once");
        let work = move || {
            let search = search?;
            changed_pages(
                search.pid,
                &search.ranges,
                search.pages,
                search.method,
                search.unit,
            )
        };
        match blocking("looking for pages", work).await {
            Ok(runs) => BindingPageScan {
                error: None,
                runs: runs.into_iter().map(|runs| flat(runs).into()).collect(),
            },
            Err(error) => BindingPageScan {
                error: Some(error.into()),
                runs: Vec::new(),
            },
        }
    }
}

/// A buffer for a copy of pages of a process, until `close`; a transfer that uses it keeps it until its end.
#[napi]
pub struct BindingProcessCopy(Arc<Mutex<Option<Arc<ProcessCopy>>>>);

#[napi]
impl BindingProcessCopy {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Makes room for so many bytes.
    #[napi]
    pub async fn open(&self, capacity: f64) -> Option<BindingError> {
        let place = Arc::clone(&self.0);
        let work = move || {
            let copy = ProcessCopy::with_capacity(bytes("capacity", capacity)?)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(copy));
            Ok(())
        };
        blocking("making room for a copy", work)
            .await
            .err()
            .map(Into::into)
    }

    /// The number of bytes that there is room for.
    #[napi]
    pub fn capacity(&self) -> Option<f64> {
        self.get().ok().map(|copy| copy.capacity() as f64)
    }

    /// Gives the memory back.
    #[napi]
    pub fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn get(&self) -> Result<Arc<ProcessCopy>> {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone().ok_or_else(|| {
            EngineError::new(
                ErrorKind::InvalidArgument,
                "the copy has no buffer, or none any more",
            )
        })
    }
}

/// The outcome has `error`, or everything else.
#[napi(object, object_from_js = false)]
pub struct BindingCopied {
    pub error: Option<BindingError>,
    pub bytes: f64,
    /// Of each block, offset and length of each run that did not fit, in turn.
    pub left: Vec<Float64Array>,
}

/// A copying of pages of a process that is yet to run.
#[napi]
pub struct BindingCopying(Mutex<Option<Result<Copying>>>);

struct Copying {
    copy: Arc<ProcessCopy>,
    pid: u32,
    blocks: Vec<BlockRuns>,
    unit: u64,
    threads: usize,
}

#[napi]
impl BindingCopying {
    /// Takes the address of each block, and offset and length of each of its runs in turn, in bytes. A run is cut only at
    /// multiples of `unit` bytes. `run` gives the error when something is wrong with them.
    #[napi(constructor)]
    pub fn new(
        copy: &BindingProcessCopy,
        pid: u32,
        addresses: Float64Array,
        runs: Vec<Float64Array>,
        unit: f64,
        threads: u32,
    ) -> Self {
        let copying = || {
            let blocks = addresses.iter().zip(&runs).map(|(address, runs)| {
                Ok(BlockRuns {
                    address: bytes("address", *address)?,
                    runs: ranges("run", runs)?,
                })
            });
            Ok(Copying {
                copy: copy.get()?,
                pid,
                blocks: blocks.collect::<Result<_>>()?,
                unit: bytes("unit", unit)?,
                threads: count(threads)?,
            })
        };
        Self(Mutex::new(Some(copying())))
    }

    /// Copies, once.
    #[napi]
    pub async fn run(&self) -> BindingCopied {
        let copying = take(&self.0, "a copying runs only once");
        let work = move || {
            let Copying {
                copy,
                pid,
                blocks,
                unit,
                threads,
            } = copying?;
            copy.copy(pid, &blocks, unit, threads)
        };
        match blocking("copying pages", work).await {
            Ok(copied) => BindingCopied {
                error: None,
                bytes: copied.bytes as f64,
                left: copied.left.into_iter().map(|runs| flat(runs).into()).collect(),
            },
            Err(error) => BindingCopied {
                error: Some(error.into()),
                bytes: 0.0,
                left: Vec::new(),
            },
        }
    }
}

/// The reasons why this process may not look into another; none where it may.
#[napi(object, object_from_js = false)]
pub struct BindingProcessRights {
    pub error: Option<BindingError>,
    pub pagemap: Option<String>,
    pub memory: Option<String>,
}

/// Asks whether this process may read the page map and the memory of another, at an address that is mapped there.
#[napi]
pub async fn process_rights(pid: u32, address: f64) -> BindingProcessRights {
    let work = move || Ok(rights_of(pid, bytes("address", address)?));
    match blocking("asking for rights", work).await {
        Ok(rights) => BindingProcessRights {
            error: None,
            pagemap: rights.pagemap,
            memory: rights.memory,
        },
        Err(error) => BindingProcessRights {
            error: Some(error.into()),
            pagemap: None,
            memory: None,
        },
    }
}

pub(crate) fn process_pages(name: &str) -> Result<ProcessPages> {
    match name {
        "present" => Ok(ProcessPages::Present),
        "data" => Ok(ProcessPages::Data),
        "changed" => Ok(ProcessPages::Changed),
        "all" => Ok(ProcessPages::All),
        other => Err(invalid("pages", "present, data, changed or all", other)),
    }
}

fn scan_method(name: &str) -> Result<ScanMethod> {
    match name {
        "auto" => Ok(ScanMethod::Auto),
        "pagemap" => Ok(ScanMethod::Pagemap),
        "scan" => Ok(ScanMethod::PagemapScan),
        other => Err(invalid("method", "auto, pagemap or scan", other)),
    }
}

/// Takes work that is done once.
fn take<T>(work: &Mutex<Option<Result<T>>>, once: &str) -> Result<T> {
    let taken = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or_else(|| EngineError::new(ErrorKind::InvalidArgument, once))?
}
