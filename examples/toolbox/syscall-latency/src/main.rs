//! How long system calls take: one histogram per system call, from the raw tracepoints `sys_enter` and `sys_exit`.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::{LruHashMap, PerCpuArray},
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_map, raw_tracepoint},
    programs::RawTracePointContext,
};

/// System calls with a number from here on are not measured.
const SYSCALLS: usize = 512;
/// Slot n counts what took from 2^(n-1) to 2^n - 1 nanoseconds; the last one (from 1.07 s on) has no end.
const SLOTS: usize = 32;

/// One system call's times.
#[repr(C)]
pub struct Histogram {
    pub count: u64,
    pub total_ns: u64,
    pub slots: [u64; SLOTS],
}

/// A call that has begun.
#[repr(C)]
pub struct Begun {
    pub time_ns: u64,
    pub syscall: u64,
}

/// The process to measure; 0: all. Set before the programs are loaded, so that the verifier knows it and removes the
/// test (and the maps of a process that is not measured stay empty).
#[unsafe(no_mangle)]
static TGID: u32 = 0;

/// Calls that have begun, by thread. LRU: a thread that ends inside a call never comes back to remove its entry.
#[btf_map]
static BEGUN: LruHashMap<u32, Begun, 16384> = LruHashMap::new();

/// By number of the system call; per CPU, so that no system call waits for another CPU's cache line.
#[btf_map]
static HISTOGRAMS: PerCpuArray<Histogram, SYSCALLS> = PerCpuArray::new();

/// The calling thread, if it is to be measured.
#[inline(always)]
fn thread() -> Option<u32> {
    let both = bpf_get_current_pid_tgid();
    // Safety: written once by the loader, before the program runs; volatile keeps the compiler from believing the 0.
    let wanted = unsafe { core::ptr::read_volatile(&raw const TGID) };
    if wanted != 0 && (both >> 32) as u32 != wanted {
        return None;
    }
    Some(both as u32)
}

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn syscall_begins(ctx: RawTracePointContext) -> i32 {
    let Some(thread) = thread() else {
        return 0;
    };
    // The second argument of `sys_enter` is the number.
    let syscall: u64 = ctx.arg(1);
    // Safety: no arguments, no memory touched.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    // An LRU map makes room by itself: an insert fails only under heavy contention, and then one call is not measured.
    let _ = BEGUN.insert(&thread, &Begun { time_ns, syscall }, 0);
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn syscall_ends(_ctx: RawTracePointContext) -> i32 {
    let Some(thread) = thread() else {
        return 0;
    };
    // Safety: the entry belongs to this thread, which is here; nobody else removes it between the two lines.
    let Some((begun, syscall)) = (unsafe { BEGUN.get(&thread) }).map(|call| (call.time_ns, call.syscall)) else {
        return 0; // begun before we were attached
    };
    let _ = BEGUN.remove(&thread);
    // Safety: no arguments, no memory touched.
    let took = unsafe { bpf_ktime_get_ns() }.saturating_sub(begun);
    let Some(histogram) = HISTOGRAMS.get_ptr_mut(syscall as u32) else {
        return 0;
    };
    let slot = (u64::BITS - took.leading_zeros()).min(SLOTS as u32 - 1);
    // Safety: this CPU's element; the kernel does not run a raw tracepoint program twice at once on one CPU.
    unsafe {
        (*histogram).count += 1;
        (*histogram).total_ns += took;
        if let Some(slot) = (*histogram).slots.get_mut(slot as usize) {
            *slot += 1;
        }
    }
    0
}

// Nothing here can panic: the verifier would see the loop and reject the program. `bpfsmith check` says where one survives.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
