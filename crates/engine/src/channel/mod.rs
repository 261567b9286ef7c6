//! One worker: its queue, its buffers; nothing shared but the cursor, the bitmaps and the counters.

mod load;
mod requests;
mod save;

use crate::error::Result;
use crate::plan::Direction;
use crate::queue::Queue;
use crate::transfer::Shared;

use requests::Requests;

/// Runs one channel to its end. On return nothing is in flight, whatever happened.
pub(crate) fn run(shared: &Shared, queue: Box<dyn Queue>) -> Result<()> {
    let mut requests = Requests::start(shared, queue)?;
    let result = match shared.direction {
        Direction::Save => save::run(shared, &mut requests),
        Direction::Load | Direction::Scan => load::run(shared, &mut requests),
    };
    // Buffers may only go when the kernel is done with them.
    let drained = requests.drain();
    result.and(drained)
}
