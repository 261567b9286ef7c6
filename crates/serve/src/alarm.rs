//! A timer of the kernel's: tokio's own counts whole milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::watched::watched;

#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_for: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            timer: watched(timer, Interest::READABLE)?,
            set_for: None,
        })
    }

    /// Becomes ready at `deadline`, now and then a little earlier.
    pub(crate) fn poll_until(
        &mut self,
        deadline: Instant,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.set_for != Some(deadline) {
            self.set(deadline)?;
        }
        loop {
            let mut guard = ready!(self.timer.poll_read_ready(context))?;
            let mut times = [0; 8];
            let read = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut times)?));
            if let Ok(read) = read {
                read?;
                self.set_for = None;
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn set(&mut self, deadline: Instant) -> io::Result<()> {
        // 0 would switch the timer off.
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        self.set_for = Some(deadline);
        Ok(())
    }
}
