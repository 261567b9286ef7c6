//! The buffers of one queue: one aligned allocation cut into slots of equal size.
//!
//! The allocation is page-aligned for direct I/O, lies in huge pages where the system has them to give, and is zeroed
//! by the kernel on first touch.

use std::io;
use std::ptr::NonNull;

use crate::mapping::Loan;

/// The size of a huge page on x86 and arm64, in which transparent huge pages come.
#[cfg(unix)]
const HUGE_PAGE: usize = 2 << 20;
const PAGE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Arena {
    mapping: Mapping,
    slot_size: usize,
    slots: usize,
    /// Requests in flight on each slot.
    busy: Vec<u32>,
    /// The memory that has taken the place of a slot's bytes.
    loans: Vec<Option<Loan>>,
}

impl Arena {
    /// Makes `slots` slots of `slot_size` bytes, at least one of each.
    pub(crate) fn new(slots: usize, slot_size: usize) -> io::Result<Self> {
        // Slots start at page boundaries so that a request may begin at any page of one.
        let slot_size = slot_size.max(1).next_multiple_of(PAGE);
        let length = slots
            .max(1)
            .checked_mul(slot_size)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping::new(length.next_multiple_of(PAGE))?;
        Ok(Self {
            mapping,
            slot_size,
            slots: slots.max(1),
            busy: vec![0; slots.max(1)],
            loans: vec![None; slots.max(1)],
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.busy.iter().all(|count| *count == 0)
    }

    /// Lets other memory take the place of a slot's bytes, or the bytes take it back, unless the kernel may be using them.
    pub(crate) fn lend(&mut self, slot: usize, loan: Option<Loan>) -> io::Result<()> {
        match (self.busy.get(slot), self.loans.get_mut(slot)) {
            (Some(0), Some(place)) => *place = loan,
            (Some(_), _) => return Err(io::Error::other("slot is in flight")),
            (None, _) => return Err(io::Error::other("no such slot")),
        }
        Ok(())
    }

    /// The memory that has taken the place of a slot's bytes.
    pub(crate) fn loan(&self, slot: usize) -> Option<&Loan> {
        self.loans.get(slot)?.as_ref()
    }

    /// Lends the slot's bytes, unless the kernel may be using them.
    pub(crate) fn slot(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        match self.busy.get(slot) {
            Some(0) => {}
            Some(_) => return Err(io::Error::other("slot is in flight")),
            None => return Err(io::Error::other("no such slot")),
        }
        let address = self.address(slot, 0)?;
        // SAFETY: needed because the arena hands disjoint parts of one allocation to the kernel and to us. It is sound
        // because `slot` is below `slots`, so the range lies inside the mapping; the kernel has initialised it (zero
        // pages); no request is in flight on it, and the borrow of `self` keeps it so.
        Ok(unsafe { std::slice::from_raw_parts_mut(address.as_ptr(), self.slot_size) })
    }

    /// Marks part of a slot as in flight and gives its address for the kernel.
    pub(crate) fn acquire(&mut self, slot: usize, start: usize, length: usize) -> io::Result<NonNull<u8>> {
        if let Some(loan) = self.loan(slot) {
            let address = loan.part(start, length)?;
            *self.busy.get_mut(slot).ok_or(io::ErrorKind::InvalidInput)? += 1;
            return Ok(address);
        }
        let inside = start.checked_add(length).is_some_and(|end| end <= self.slot_size);
        let busy = self
            .busy
            .get_mut(slot)
            .filter(|_| inside)
            .ok_or(io::ErrorKind::InvalidInput)?;
        *busy += 1;
        self.address(slot, start)
    }

    /// Ends one request on a slot.
    pub(crate) fn release(&mut self, slot: usize) {
        if let Some(busy) = self.busy.get_mut(slot) {
            *busy = busy.saturating_sub(1);
        }
    }

    /// Gives the whole allocation, to register it with the kernel.
    pub(crate) fn whole(&self) -> (NonNull<u8>, usize) {
        (self.mapping.address, self.mapping.length)
    }

    /// Gives the address at which a part of a slot starts. A part outside the mapping is an error.
    fn address(&self, slot: usize, start: usize) -> io::Result<NonNull<u8>> {
        let offset = slot * self.slot_size + start;
        if slot >= self.slots || offset > self.mapping.length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // The addition stays inside the mapping.
        NonNull::new(self.mapping.address.as_ptr().wrapping_add(offset))
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[derive(Debug)]
struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: needed to move a queue to its channel's thread. It is sound because this value alone owns the mapping.
unsafe impl Send for Mapping {}

#[cfg(unix)]
impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // The kernel (since 6.7) aligns whole huge pages and need not split them. One that is half used costs less than
        // the hundreds of small ones that it stands for: a direct request pins each.
        let length = if length >= HUGE_PAGE / 2 {
            length.next_multiple_of(HUGE_PAGE)
        } else {
            length
        };
        // SAFETY: needed for page-aligned memory that can have huge pages. It is sound because a new anonymous mapping
        // at an address of the kernel's choice overlaps nothing.
        let address = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, MapFlags::PRIVATE) }?;
        let this = Self {
            address: NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            length,
        };
        #[cfg(target_os = "linux")]
        {
            // This is only advice: everything works without huge pages. SAFETY: needed because the kernel gives huge
            // pages only to memory that asks for them, and safe code cannot ask. It is sound because the range is the
            // mapping just made, and the advice changes no contents.
            let _ = unsafe { rustix::mm::madvise(address, length, rustix::mm::Advice::LinuxHugepage) };
        }
        Ok(this)
    }
}

#[cfg(unix)]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: needed because nothing else gives a mapping back. It is sound because the range is the one that mmap
        // returned, it is unmapped once, and slices of it cannot outlive the arena.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

#[cfg(not(unix))]
impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        let layout = Self::layout(length)?;
        // SAFETY: needed because a vector of bytes cannot be aligned to pages. It is sound because the layout's size is
        // not zero: `length` is a positive multiple of the page size.
        let address = unsafe { std::alloc::alloc_zeroed(layout) };
        Ok(Self {
            address: NonNull::new(address).ok_or(io::ErrorKind::OutOfMemory)?,
            length,
        })
    }

    fn layout(length: usize) -> io::Result<std::alloc::Layout> {
        std::alloc::Layout::from_size_align(length, PAGE).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }
}

#[cfg(not(unix))]
impl Drop for Mapping {
    fn drop(&mut self) {
        if let Ok(layout) = Self::layout(self.length) {
            // SAFETY: needed to free what `new` allocated. It is sound because `new` used this very layout, and the
            // memory is freed once.
            unsafe { std::alloc::dealloc(self.address.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arena;

    #[test]
    fn a_slot_in_flight_cannot_be_borrowed() {
        let mut arena = Arena::new(2, 4096).unwrap();
        arena.slot(0).unwrap()[4095] = 7;
        arena.acquire(0, 0, 4096).unwrap();
        assert!(arena.slot(0).is_err());
        assert!(arena.slot(1).is_ok());
        arena.release(0);
        assert_eq!(arena.slot(0).unwrap()[4095], 7);
    }

    #[test]
    fn a_request_outside_its_slot_is_refused() {
        let mut arena = Arena::new(2, 8192).unwrap();
        assert!(arena.acquire(0, 4096, 4097).is_err());
        assert!(arena.acquire(0, usize::MAX, 2).is_err());
        assert!(arena.acquire(2, 0, 1).is_err());
        assert!(arena.slot(2).is_err());
        assert!(arena.is_idle());
    }
}
