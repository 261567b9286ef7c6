//! Pages that nobody has asked for yet.

use std::time::{Duration, Instant};

use mapped_ram_engine::error::Result;

use super::{Phase, Server};
use crate::options::Push;
use crate::records::PAGE_SIZE;

/// Target pages in a section.
const FULL_SECTION: u64 = 64;
const GENTLE_SECTION: u64 = 16;
/// Nothing is pushed gently for this long behind an answer: the next request finds an empty socket.
const QUIET: Duration = Duration::from_micros(300);
/// A server that was held up may catch up on this much time of its bandwidth.
const CATCH_UP: Duration = Duration::from_millis(5);
/// Batches that are read ahead.
const MOST_AHEAD: usize = 4;
/// Their bytes, unless one alone has more.
const MOST_AHEAD_BYTES: u64 = 8 << 20;
/// Batches of one turn.
const STEPS: usize = 16;

/// When the next section may be pushed.
#[derive(Debug)]
pub(super) struct Pace {
    push: Push,
    max_bandwidth: Option<u64>,
    quiet_until: Option<Instant>,
    /// The limit of the bandwidth allows the next section then.
    paid_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(push: Push, max_bandwidth: Option<u64>) -> Self {
        Self {
            push,
            max_bandwidth,
            quiet_until: None,
            paid_until: None,
        }
    }

    pub(super) fn answered(&mut self) {
        if self.push == Push::Gentle {
            self.quiet_until = Some(Instant::now() + QUIET);
        }
    }

    pub(super) fn pushed(&mut self, bytes: u64) {
        if let Some(bandwidth) = self.max_bandwidth {
            let now = Instant::now();
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            let from = self.paid_until.map_or(now, |until| until.max(earliest));
            let cost = Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
            self.paid_until = from.checked_add(cost);
        }
    }

    /// The time before which nothing may be pushed, if there is one. It may have passed.
    fn until(&self) -> Option<Instant> {
        self.quiet_until.max(self.paid_until)
    }
}

impl Server<'_> {
    /// True while the server pushes at all. QEMU's main thread loads devices before, and must not wait behind pages.
    pub(super) fn pushes_pages(&self) -> bool {
        self.phase == Phase::Loaded && self.options.push != Push::Off
    }

    pub(super) fn may_push_now(&self) -> bool {
        self.pushes_pages() && self.pace.until().is_none_or(|until| until <= Instant::now())
    }

    /// The time at which the section may be pushed that nothing else holds up; `None` when there is no such section.
    pub(super) fn push_is_due(&self) -> Option<Instant> {
        let held = self.pushes_pages() && self.main.is_idle() && !self.pushes.is_empty();
        held.then(|| self.pace.until().unwrap_or_else(Instant::now))
    }

    /// Reads the pages that will be pushed next. True when a turn could go on with them at once.
    pub(super) fn read_ahead(&mut self) -> Result<bool> {
        if !self.pushes_pages() {
            return Ok(false);
        }
        let most_pages = if self.options.push == Push::Full {
            FULL_SECTION
        } else {
            GENTLE_SECTION
        };
        let mut steps = 0;
        while self.reads_further_ahead() {
            if steps == STEPS {
                return Ok(true);
            }
            steps += 1;
            let Some((block, hosts)) = self.order.claim_next(&mut self.blocks, most_pages) else {
                break;
            };
            let batch = self.batch(block, hosts)?;
            self.read(batch)?;
        }
        Ok(self.push_is_due().is_some_and(|due| due <= Instant::now()))
    }

    fn reads_further_ahead(&self) -> bool {
        let (ready, waited_for) = (self.pushes.len(), self.reads.pushed());
        if ready + waited_for == 0 {
            return true;
        }
        // Where reads take no waiting, one batch is enough: more would be stale when QEMU asks for other pages.
        let largest = self.blocks.iter().map(|block| block.per_host * PAGE_SIZE).max();
        let most = MOST_AHEAD_BYTES / largest.unwrap_or(PAGE_SIZE);
        waited_for > 0 && ready + waited_for < MOST_AHEAD && ((ready + waited_for) as u64) < most
    }
}
