//! The io_uring engine: one ring per channel, registered files and, where the memlock limit allows, registered buffers.
//!
//! The ring is made disabled, so that the thread that allocates a transfer can make it and the channel's thread can
//! enable it and become its single issuer. The ring is restricted to the operations that it needs: reads and writes.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::register::{Probe, Restriction};
use io_uring::{IoUring, opcode, squeue, types};

use super::{Action, Completion, IoEngineState, Loan, Queue, QueueOptions, Request, Target};
use crate::arena::Arena;
use crate::file::SnapshotFile;

/// The opcodes this engine uses.
const OPCODES: [u8; 4] = [
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::ReadFixed::CODE,
    opcode::WriteFixed::CODE,
];

struct UringQueue {
    ring: ManuallyDrop<IoUring>,
    /// The arena is dropped after the ring, and only when nothing is in flight.
    arena: ManuallyDrop<Arena>,
    /// The slot of each request in flight, by token.
    in_flight: HashMap<u64, usize>,
    done: VecDeque<Completion>,
    registered_buffers: bool,
    /// The number of calls of `io_uring_enter`.
    enters: u64,
    /// The file's descriptors are registered with the ring; holding the file keeps them open as long as the ring.
    _file: Arc<SnapshotFile>,
}

impl std::fmt::Debug for UringQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringQueue")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

pub(super) fn make(
    count: usize,
    file: &Arc<SnapshotFile>,
    options: QueueOptions,
) -> io::Result<(Vec<Box<dyn Queue>>, IoEngineState)> {
    let no_file = || io::Error::new(io::ErrorKind::Unsupported, "the snapshot is no local file");
    let buffered = file.buffered.file().ok_or_else(no_file)?;
    probe()?;
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        made.push(UringQueue::new(file, buffered, options)?);
    }
    // Buffers come after all rings: rings count towards the memlock limit too (before 5.12 and since 6.14), so buffers
    // take what rings leave.
    let mut registered_buffers = true;
    let mut queues: Vec<Box<dyn Queue>> = Vec::with_capacity(count);
    for mut queue in made {
        queue.registered_buffers = register_arena(&queue.ring, &queue.arena).is_ok();
        registered_buffers &= queue.registered_buffers;
        queues.push(Box::new(queue));
    }
    let why = "the kernel offers io_uring with the operations needed".to_owned();
    Ok((
        queues,
        IoEngineState {
            name: "io_uring",
            why,
            registered_buffers,
            slots: options.slots,
        },
    ))
}

/// Makes a ring as a channel's is made, asks for the opcodes, and lets it go.
pub(super) fn probe() -> io::Result<()> {
    let ring = make_disabled_ring(1)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if !OPCODES.iter().all(|code| probe.is_supported(*code)) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel's io_uring lacks read or write operations",
        ));
    }
    restrict(&ring)?;
    ring.submitter().register_enable_rings()
}

/// Says whether the process, or the system, has too many descriptors open.
pub(super) fn lacks_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Says in words why io_uring cannot be had.
pub(super) fn explain(error: &io::Error) -> String {
    use rustix::io::Errno;
    let hint = match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "refused by a seccomp profile (containers' default) or by the sysctl kernel.io_uring_disabled"
        }
        Some(Errno::NOSYS) => "the kernel has no io_uring, or a seccomp profile hides it",
        Some(Errno::NOMEM) => "not enough memory, or the memlock limit is too low",
        Some(Errno::MFILE | Errno::NFILE) => "too many open descriptors",
        _ => return error.to_string(),
    };
    format!("{hint} ({error})")
}

impl UringQueue {
    fn new(file: &Arc<SnapshotFile>, buffered: &File, options: QueueOptions) -> io::Result<Self> {
        let entries =
            u32::try_from(options.depth.next_power_of_two()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let ring = make_ring(entries)?;
        let arena = Arena::new(options.slots, options.slot_size)?;
        let mut files = vec![buffered.as_raw_fd()];
        files.extend(file.direct.iter().map(AsRawFd::as_raw_fd));
        ring.submitter().register_files(&files)?;
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            arena: ManuallyDrop::new(arena),
            in_flight: HashMap::with_capacity(options.depth),
            done: VecDeque::with_capacity(options.depth),
            registered_buffers: false,
            enters: 0,
            _file: Arc::clone(file),
        })
    }

    fn entry(&mut self, request: &Request) -> io::Result<squeue::Entry> {
        let address = self
            .arena
            .acquire(request.slot, request.start, request.length)?
            .as_ptr();
        let file = types::Fixed(u32::from(request.target == Target::Direct));
        let length = u32::try_from(request.length).map_err(|_| io::ErrorKind::InvalidInput)?;
        // Memory on loan is not registered.
        let registered = self.registered_buffers && self.arena.loan(request.slot).is_none();
        let entry = match (request.action, registered) {
            (Action::Read, true) => opcode::ReadFixed::new(file, address, length, 0)
                .offset(request.offset)
                .build(),
            (Action::Write, true) => opcode::WriteFixed::new(file, address.cast_const(), length, 0)
                .offset(request.offset)
                .build(),
            (Action::Read, false) => opcode::Read::new(file, address, length)
                .offset(request.offset)
                .build(),
            (Action::Write, false) => opcode::Write::new(file, address.cast_const(), length)
                .offset(request.offset)
                .build(),
        };
        Ok(entry.user_data(request.token))
    }

    /// Moves the completions that the kernel has to `done`.
    fn reap(&mut self) {
        for entry in self.ring.completion() {
            let token = entry.user_data();
            if let Some(slot) = self.in_flight.remove(&token) {
                self.arena.release(slot);
            }
            let result = usize::try_from(entry.result())
                .map_err(|_| io::Error::from_raw_os_error(entry.result().wrapping_neg()));
            self.done.push_back(Completion { token, result });
        }
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        loop {
            self.enters += 1;
            match self.ring.submitter().submit_and_wait(want) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EBUSY means that completions wait to be reaped first, which the callers do next.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    return Ok(());
                }
                result => return result.map(drop),
            }
        }
    }
}

impl Queue for UringQueue {
    fn start(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()
    }

    fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        self.arena.slot(slot)
    }

    fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        self.arena.lend(slot, loan)
    }

    fn submit(&mut self, request: Request) -> io::Result<()> {
        if self.in_flight.contains_key(&request.token) {
            return Err(io::Error::other("token is in flight already"));
        }
        if self.ring.submission().is_full() {
            self.enter(0)?;
        }
        let entry = self.entry(&request)?;
        // SAFETY: needed because the kernel uses the buffer after this call. It is sound because `acquire` marked the
        // slot, so nothing can borrow it until the completion is reaped, and `drop` keeps the arena if one never comes.
        // The descriptors are registered files, which the ring itself keeps open.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        if pushed.is_err() {
            self.arena.release(request.slot);
            return Err(io::Error::other("the submission queue is full"));
        }
        self.in_flight.insert(request.token, request.slot);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A channel flushes after each completion, too, when it mostly has nothing new to start.
        if self.ring.submission().is_empty() {
            return Ok(());
        }
        self.enter(0)
    }

    fn wait(&mut self) -> io::Result<Completion> {
        loop {
            if let Some(completion) = self.done.pop_front() {
                return Ok(completion);
            }
            self.reap();
            if self.done.is_empty() {
                if self.in_flight.is_empty() {
                    return Err(io::Error::other("nothing is in flight"));
                }
                self.enter(1)?;
                self.reap();
            }
        }
    }

    fn submissions(&self) -> u64 {
        self.enters
    }
}

impl Drop for UringQueue {
    fn drop(&mut self) {
        // This is a last try to see every request end. A healthy channel has drained its queue long before.
        while !self.in_flight.is_empty() && self.enter(1).is_ok() {
            self.reap();
        }
        // The kernel takes a ring down some time after its last descriptor is closed. The ring would hold the file (its
        // space, its mount) and count the locked memory until then.
        let _ = self.ring.submitter().unregister_files();
        let _ = self.ring.submitter().unregister_buffers();
        // SAFETY: needed to drop the ring before the arena whose pages it has registered, and the arena not at all if
        // need be. It is sound because the ring is dropped here once, and nothing uses it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if self.arena.is_idle() {
            // SAFETY: needed because the arena must not go by itself: see below. It is sound because the arena is
            // dropped here once, and no request is in flight, so the kernel has no use for the memory any more.
            unsafe { ManuallyDrop::drop(&mut self.arena) };
        }
        // The memory of an arena that is not idle stays: the kernel stopped answering with requests in flight and may
        // still write there.
    }
}

fn make_ring(entries: u32) -> io::Result<IoUring> {
    let ring = make_disabled_ring(entries)?;
    restrict(&ring)?;
    Ok(ring)
}

fn make_disabled_ring(entries: u32) -> io::Result<IoUring> {
    // DEFER_TASKRUN (6.1) and SINGLE_ISSUER (6.0) spare interrupts of the channel's thread; older kernels say EINVAL.
    let modern = IoUring::builder()
        .setup_r_disabled()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(entries);
    match modern {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            IoUring::builder().setup_r_disabled().build(entries)
        }
        made => made,
    }
}

/// Allows this ring the operations and registrations below and nothing else, whoever gets hold of it.
fn restrict(ring: &IoUring) -> io::Result<()> {
    // These are values of enum io_uring_register_op. Restrictions do not govern the registration of files and buffers,
    // which comes before the ring is enabled; they do govern giving these back at its end.
    const UNREGISTER_BUFFERS: u8 = 1;
    const UNREGISTER_FILES: u8 = 3;
    const REGISTER_ENABLE_RINGS: u8 = 12;
    let mut restrictions: Vec<Restriction> = OPCODES.iter().map(|code| Restriction::sqe_op(*code)).collect();
    for code in [UNREGISTER_BUFFERS, UNREGISTER_FILES, REGISTER_ENABLE_RINGS] {
        restrictions.push(Restriction::register_op(code));
    }
    restrictions.push(Restriction::sqe_flags_allowed(FIXED_FILE));
    restrictions.push(Restriction::sqe_flags_required(FIXED_FILE));
    ring.submitter().register_restrictions(&mut restrictions)
}

/// `IOSQE_FIXED_FILE`: a request names a registered file.
const FIXED_FILE: u8 = 1;

fn register_arena(ring: &IoUring, arena: &Arena) -> io::Result<()> {
    let (address, length) = arena.whole();
    let buffers = [libc::iovec {
        iov_base: address.as_ptr().cast(),
        iov_len: length,
    }];
    // SAFETY: needed because pinning the buffers once saves pinning them for each request. It is sound because the
    // memory is the arena's, which outlives the ring: `UringQueue` drops the ring first.
    unsafe { ring.submitter().register_buffers(&buffers) }
}
