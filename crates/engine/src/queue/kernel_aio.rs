//! Direct requests in flight without io_uring, by the kernel's older asynchronous interface. Sandboxes allow it where
//! they forbid io_uring.
//!
//! It is more than a way to have many requests in flight: a filesystem fills a hole under the file's lock, and `pwrite`
//! waits for the disk while it has that lock, so that one of all channels works (docs/performance.md).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::{Action, Completion, Request};

/// One request, as the kernel reads it on little-endian systems (linux/aio_abi.h).
#[repr(C)]
#[derive(Default)]
struct Control {
    data: u64,
    key: u32,
    flags: i32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event_descriptor: u32,
}

/// The end of one request, as the kernel writes it.
#[repr(C)]
#[derive(Default)]
struct Event {
    data: u64,
    control: u64,
    result: i64,
    second: i64,
}

/// A number of requests or events, in the type of the kernel.
const ONE: libc::c_long = 1;
/// Contexts that nobody uses. To give one back to the kernel takes some 40 ms, in which it waits for all processors.
static IDLE: Mutex<Vec<Context>> = Mutex::new(Vec::new());
/// The most contexts that are kept, and the most requests of each. The kernel counts them against a limit of the system.
const MOST_IDLE: usize = 16;
const MOST_REQUESTS: u32 = 32;

/// The place where requests are under way, and where their ends are waited for.
#[derive(Debug)]
pub(super) struct KernelAio {
    context: Option<Context>,
    under_way: u32,
}

#[derive(Debug)]
struct Context(libc::c_ulong);

impl KernelAio {
    /// Takes a place. An error says that the system has none to give.
    pub(super) fn new() -> io::Result<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let context = idle.map_or_else(Context::new, Ok)?;
        Ok(Self {
            context: Some(context),
            under_way: 0,
        })
    }

    /// True while no request can begin before another has ended.
    pub(super) fn is_full(&self) -> bool {
        self.under_way == MOST_REQUESTS
    }

    /// Begins a request on memory of its length, which `wait` ends. An error leaves nothing under way.
    ///
    /// # Safety
    /// Until the end the memory is nobody else's, or nobody has a reference into it.
    pub(super) unsafe fn begin(
        &mut self,
        file: &File,
        memory: NonNull<u8>,
        request: &Request,
    ) -> io::Result<()> {
        let context = self.context.as_ref().filter(|_| !self.is_full());
        let context = context.ok_or(io::ErrorKind::WouldBlock)?.0;
        let mut control = Control {
            data: request.token,
            opcode: match request.action {
                Action::Read => 0,
                Action::Write => 1,
            },
            descriptor: u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
            buffer: memory.as_ptr().expose_provenance() as u64,
            length: request.length as u64,
            offset: i64::try_from(request.offset).map_err(|_| io::ErrorKind::InvalidInput)?,
            ..Control::default()
        };
        let mut controls = [&raw mut control];
        // SAFETY: needed because no crate of ours has this call. It is sound because the kernel looks at the control
        // during the call only, and the caller keeps the memory.
        let taken = unsafe { libc::syscall(libc::SYS_io_submit, context, ONE, controls.as_mut_ptr()) };
        if counted(taken)? == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.under_way += 1;
        Ok(())
    }

    /// Waits for the end of one of the requests.
    pub(super) fn wait(&mut self) -> io::Result<Completion> {
        let nothing = || io::Error::other("nothing is in flight");
        let context = self.context.as_ref().filter(|_| self.under_way > 0);
        let context = context.ok_or_else(nothing)?.0;
        let mut event = Event::default();
        let forever = std::ptr::null_mut::<libc::timespec>();
        loop {
            // SAFETY: needed because no crate of ours has this call. It is sound because the kernel writes at most the
            // one event that it is asked for, and the event outlives the call.
            let ended =
                unsafe { libc::syscall(libc::SYS_io_getevents, context, ONE, ONE, &raw mut event, forever) };
            match counted(ended) {
                Ok(0) => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.under_way -= 1;
        let result = usize::try_from(event.result).map_err(|_| {
            let code = i32::try_from(-event.result).unwrap_or(libc::EIO);
            io::Error::from_raw_os_error(code)
        });
        Ok(Completion {
            token: event.data,
            result,
        })
    }
}

impl Drop for KernelAio {
    fn drop(&mut self) {
        // A context with requests under way goes, which waits for them.
        let Some(context) = self.context.take().filter(|_| self.under_way == 0) else {
            return;
        };
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(context);
        }
    }
}

impl Context {
    fn new() -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: needed because no crate of ours has this call. It is sound because the kernel writes one number, which
        // outlives the call.
        let made = unsafe { libc::syscall(libc::SYS_io_setup, MOST_REQUESTS, &raw mut context) };
        counted(made).map(|_| Self(context))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: needed because a context is the process's until this call, which waits for what is under way. It is
        // sound because the context is the one that was made, and nobody has it but `self`.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.0) };
    }
}

fn counted(returned: libc::c_long) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
