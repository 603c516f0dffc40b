//! A memory budget for one thread, so that a hostile template cannot take the server's memory.
//!
//! Doubling a string 35 times is 35 instructions: fuel cannot see it, and an allocator may neither unwind nor, without
//! ending the process, fail. So a thread that exceeds its budget, or was given up by its waiter, is parked for good
//! inside its next allocation, and the waiter answers instead. The price is one leaked thread and at most its budget;
//! a template that did it a few times is refused from then on (template.rs).
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

pub struct Budget {
    pub exceeded: AtomicBool,
    pub abandoned: AtomicBool,
    pub waiter: Thread,
}

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(0) };  // bytes; 0 = this thread has no budget
    static USED: Cell<isize> = const { Cell::new(0) };
    static BUDGET: Cell<*const Budget> = const { Cell::new(std::ptr::null()) };
}

/// Puts the current thread under `budget` until it ends; the caller keeps `budget` alive that long.
pub fn enter(budget: *const Budget, bytes: usize) {
    BUDGET.set(budget);
    LIMIT.set(bytes.max(1));
}

/// Takes the current thread out of its budget: from here on it will finish.
pub fn leave() {
    LIMIT.set(0);
}

pub struct BudgetedAllocator;

#[inline]
fn charge(bytes: isize) {
    let limit = LIMIT.get();
    if limit != 0 {
        charge_slowly(bytes, limit);
    }
}

#[cold]
fn charge_slowly(bytes: isize, limit: usize) {
    let used = USED.get() + bytes;
    USED.set(used);
    if bytes <= 0 {
        return;
    }
    // SAFETY: enter() demands that the budget outlives the thread.
    let budget = unsafe { &*BUDGET.get() };
    let exceeded = used > 0 && used as usize > limit;
    if exceeded || budget.abandoned.load(Ordering::Relaxed) {
        budget.exceeded.store(exceeded, Ordering::Release);
        budget.waiter.unpark();
        loop {
            std::thread::park();
        }
    }
}

unsafe impl GlobalAlloc for BudgetedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        System.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        System.alloc_zeroed(layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        charge(-(layout.size() as isize));
        System.dealloc(pointer, layout)
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size as isize - layout.size() as isize);
        System.realloc(pointer, layout, size)
    }
}
