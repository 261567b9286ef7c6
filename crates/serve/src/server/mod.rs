//! The server's loop: one turn reads what QEMU says, answers, writes, and reads ahead, all without waiting.

mod answers;
mod pushes;
mod returned;
mod writes;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use mapped_ram_engine::EngineError;
use mapped_ram_engine::error::Result;

use crate::account::Account;
use crate::alarm::Alarm;
use crate::batch::Batch;
use crate::block::Block;
use crate::channel::Channel;
use crate::control::Control;
use crate::messages::Inbound;
use crate::options::ServeOptions;
use crate::push_order::PushOrder;
use crate::reads::Reads;
use crate::records::PAGE_SIZE;
use crate::report::ServeReport;
use crate::serve::cancelled;
use crate::source::PageSource;

use answers::Request;
use pushes::Pace;

/// The most requests that wait here. More of them wait in the socket.
const MOST_REQUESTS: usize = 1024;

/// How far QEMU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It tells which pages of this block it has, to a server that takes over.
    Asking(usize),
    /// It goes on, with a server that has taken over.
    Resuming,
    /// It loads the devices of the guest.
    Loading,
    /// The guest may run.
    Loaded,
    /// The end of the stream is being written.
    Ending,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Server<'a> {
    options: ServeOptions,
    blocks: Vec<Block>,
    source: Arc<dyn PageSource>,
    control: &'a Control,
    main: Channel,
    /// The connection for answers, with preempt.
    urgent: Option<Channel>,
    alarm: Alarm,
    phase: Phase,
    inbound: Inbound,
    requests: VecDeque<Request>,
    /// Bytes for the main connection that come before any page.
    commands: VecDeque<Vec<u8>>,
    answers: VecDeque<Batch>,
    /// Answers that are read, wait, or are written, and their bytes.
    answering: (usize, u64),
    pushes: VecDeque<Batch>,
    order: PushOrder,
    pace: Pace,
    reads: Reads,
    spare: Vec<Vec<u8>>,
    account: Account<'a>,
    /// Requests behind the end are answered, which only the second connection can do.
    answers_behind_end: bool,
}

impl<'a> Server<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the server, made by its one caller"
    )]
    pub(crate) fn new(
        mut options: ServeOptions,
        blocks: Vec<Block>,
        source: Arc<dyn PageSource>,
        control: &'a Control,
        main: Channel,
        urgent: Option<Channel>,
        alarm: Alarm,
        started: Instant,
    ) -> Self {
        let content: u64 = (0..blocks.len()).map(|block| source.content(block).count()).sum();
        let opening = options.opening.take();
        let mut server = Self {
            phase: if opening.is_some() {
                Phase::Loading
            } else {
                Phase::Asking(0)
            },
            pace: Pace::new(options.push, options.max_bandwidth),
            options,
            blocks,
            source,
            control,
            main,
            answers_behind_end: urgent.is_some(),
            urgent,
            alarm,
            inbound: Inbound::default(),
            requests: VecDeque::new(),
            commands: opening.into_iter().collect(),
            answers: VecDeque::new(),
            answering: (0, 0),
            pushes: VecDeque::new(),
            order: PushOrder::default(),
            reads: Reads::default(),
            spare: Vec::new(),
            account: Account::new(control, started, content * PAGE_SIZE),
        };
        server.ask_for_bitmap();
        server
    }

    /// Serves until QEMU has all.
    pub(crate) async fn run(&mut self) -> Result<ServeReport> {
        loop {
            if self.control.is_stopped() {
                return Err(cancelled());
            }
            let Some(more) = self.turn()? else {
                let urgent = self.urgent.as_ref().map_or(0, Channel::sent);
                return Ok(self.account.complete(self.main.sent() + urgent));
            };
            self.account.pending(self.requests.len() + self.answering.0);
            if more {
                // Others get their turn, and the sockets are looked at.
                tokio::task::yield_now().await;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Does all that needs no waiting, or a good part of it: true when there is more. `None` when QEMU has all.
    fn turn(&mut self) -> Result<Option<bool>> {
        let Some(mut more) = self.receive()? else {
            return Ok(None);
        };
        more |= self.take_reads()?;
        self.answer_requests()?;
        match self.write()? {
            None => return Ok(None),
            Some(wrote) => more |= wrote,
        }
        more |= self.read_ahead()?;
        // What was written has made room.
        more |= self.can_answer();
        Ok(Some(more))
    }

    async fn wait(&mut self) -> Result<()> {
        let control = self.control;
        let mut called = pin!(control.called());
        poll_fn(|context| {
            if called.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_anything(context)
        })
        .await
        .map_err(|error| EngineError::io("waiting for QEMU", error))
    }

    /// Becomes ready when a turn has something to do.
    fn poll_anything(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut ready = self.reads.poll_ended(context).is_ready();
        if self.takes_requests() {
            ready |= self.main.poll_readable(context)?.is_ready();
        }
        if !self.main.is_idle() {
            ready |= self.main.poll_writable(context)?.is_ready();
        }
        if let Some(urgent) = self.urgent.as_ref().filter(|urgent| !urgent.is_idle()) {
            ready |= urgent.poll_writable(context)?.is_ready();
        }
        // The time may have come since the turn has looked: the alarm then rings at once.
        if let Some(due) = self.push_is_due() {
            ready |= self.alarm.poll_until(due, context)?.is_ready();
        }
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
