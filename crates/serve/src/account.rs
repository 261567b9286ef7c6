//! What was sent so far.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::control::Control;
use crate::latency::Latency;
use crate::records::PAGE_SIZE;
use crate::report::ServeReport;

/// What was sent so far, for the report and for those who look on.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    started: Instant,
    control: &'a Control,
    latency: Latency,
    report: ServeReport,
    /// Bytes of content that QEMU does not have.
    unsent: u64,
}

impl<'a> Account<'a> {
    pub(crate) fn new(control: &'a Control, started: Instant, content: u64) -> Self {
        control.counters.content_bytes.store(content, Ordering::Relaxed);
        Self {
            started,
            control,
            latency: Latency::default(),
            report: ServeReport {
                connected: started.elapsed(),
                ..ServeReport::default()
            },
            unsent: content,
        }
    }

    /// QEMU has this content already.
    pub(crate) fn had(&mut self, bytes: u64) {
        self.unsent = self.unsent.saturating_sub(bytes);
        self.control
            .counters
            .sent_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn asked(&mut self) {
        self.report.requests += 1;
        self.control.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn repeated(&mut self) {
        self.report.repeated += 1;
    }

    pub(crate) fn written(&mut self, batch: &Batch) {
        let content = batch.content_pages() * PAGE_SIZE;
        self.had(content);
        let report = &mut self.report;
        if let Some(asked) = batch.asked {
            self.latency.add(asked.elapsed());
            report.answered_bytes += content;
            report.answered_pages += 1;
            report.zero_pages += u64::from(content == 0);
        } else {
            report.pushed_bytes += content;
        }
    }

    pub(crate) fn all_is_sent(&self) -> bool {
        self.unsent == 0
    }

    pub(crate) fn loaded(&mut self) {
        self.report.loaded = self.started.elapsed();
        self.control.set_loaded();
    }

    /// All content is sent. Later calls change nothing.
    pub(crate) fn pushed(&mut self) {
        if self.report.pushed.is_none() {
            self.report.pushed = Some(self.started.elapsed());
            self.control.set_pushed();
        }
    }

    pub(crate) fn ended(&self) {
        self.control.counters.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn pending(&self, requests: usize) {
        let counter = &self.control.counters.pending_requests;
        counter.store(requests as u64, Ordering::Relaxed);
    }

    /// Closes the account: QEMU has all.
    pub(crate) fn complete(&self, socket_bytes: u64) -> ServeReport {
        ServeReport {
            socket_bytes,
            complete: self.since_start(),
            answer_microseconds: self.latency.quantiles(),
            ..self.report.clone()
        }
    }

    fn since_start(&self) -> Duration {
        self.started.elapsed()
    }
}
