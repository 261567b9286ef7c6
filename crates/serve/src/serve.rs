//! A server from its start to its end, on the thread of its caller.

use std::sync::Arc;
use std::time::Instant;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use tokio::runtime::Builder;

use crate::alarm::Alarm;
use crate::block::Block;
use crate::channel::Channel;
use crate::connect::connected;
use crate::control::{Control, unless_stopped};
use crate::options::ServeOptions;
use crate::report::ServeReport;
use crate::server::Server;
use crate::source::PageSource;

/// The most threads that wait for a disk.
const READERS: usize = 8;
/// What the kernel keeps of pushed pages stands before every answer on the same connection.
const SHARED_BUFFER: usize = 256 << 10;
const OWN_BUFFER: usize = 1 << 20;

/// Serves pages until QEMU says that it has everything. All threads have ended and all sockets are closed when this
/// returns. `control` still has to be told that it is over: see [`Control::finish`].
/// # Errors
/// of the kind Cancelled after [`Control::stop`]; Corrupt when QEMU sends something that it never does; Closed when it has
/// closed the connection, or has gone; of other kinds when options or the system are at fault
pub fn serve(options: ServeOptions, source: Arc<dyn PageSource>, control: &Control) -> Result<ServeReport> {
    let started = Instant::now();
    options.check()?;
    let mut blocks = Vec::new();
    for (index, served) in options.blocks.iter().enumerate() {
        let content = source.content(index);
        if content.pages() != served.pages() {
            let (expected, found) = (served.pages(), content.pages());
            let words = format!(
                "the content of {:?}: expected {expected} pages, found {found}",
                served.id
            );
            return Err(EngineError::new(ErrorKind::InvalidArgument, words));
        }
        blocks.push(Block::new(served, content)?);
    }
    let runtime = Builder::new_current_thread()
        .enable_io()
        .max_blocking_threads(READERS)
        .thread_name("mapped-ram read")
        // The socket is looked at after every step. Otherwise requests would wait behind 60 pushed sections.
        .event_interval(1)
        .build()
        .map_err(|error| EngineError::io("starting the page server", error))?;
    let work = async {
        let connected = unless_stopped(control, connect_all(&options)).await;
        let (main, urgent, alarm) = connected.unwrap_or_else(|| Err(cancelled()))?;
        let mut server = Server::new(options, blocks, source, control, main, urgent, alarm, started);
        server.run().await
    };
    // Reads that wait for a disk end before the runtime does.
    runtime.block_on(work)
}

async fn connect_all(options: &ServeOptions) -> Result<(Channel, Option<Channel>, Alarm)> {
    let failed = |error| EngineError::io("setting up the page server", error);
    let mut alarm = Alarm::new().map_err(failed)?;
    let (source, timeout) = (&options.connection, options.connect_timeout);
    // QEMU takes the first for the main connection, and waits for both.
    let main = connected(source, timeout, &mut alarm).await?;
    let urgent = match options.preempt {
        true => Some(connected(source, timeout, &mut alarm).await?),
        false => None,
    };
    let buffer = if options.preempt {
        OWN_BUFFER
    } else {
        SHARED_BUFFER
    };
    let main = Channel::new(main, Some(options.section_id), buffer);
    let urgent = urgent.map(|socket| Channel::new(socket, None, OWN_BUFFER));
    Ok((main.map_err(failed)?, urgent.transpose().map_err(failed)?, alarm))
}

pub(crate) fn cancelled() -> EngineError {
    EngineError::new(ErrorKind::Cancelled, "the page server was stopped")
}
