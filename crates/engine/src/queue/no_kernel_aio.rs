//! Other platforms have requests in flight by channels only.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use super::{Completion, Request};

#[derive(Debug)]
pub(super) enum KernelAio {}

impl KernelAio {
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_full(&self) -> bool {
        match *self {}
    }

    /// # Safety
    /// Nothing is to be kept.
    pub(super) unsafe fn begin(&mut self, _: &File, _: NonNull<u8>, _: &Request) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn wait(&mut self) -> io::Result<Completion> {
        match *self {}
    }
}
