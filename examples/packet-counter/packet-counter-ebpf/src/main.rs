//! Kernel side: two XDP stages joined by a tail call, two tracepoints, a kprobe and a kretprobe.
#![no_std]
#![no_main]

mod connect;
mod files;
mod packets;

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    macros::btf_map,
};
use packet_counter_common::{COUNTER_SLOTS, Config, Count, Counter, NewSource, Packet};

/// Element 0: what user space may change at any time.
#[btf_map]
static CONFIG: Array<Config, 1> = Array::new();

/// Blocked source addresses (network byte order). The value is not used.
#[btf_map]
static BLOCKED: HashMap<u32, u32, 4096> = HashMap::new();

/// Source addresses already reported; the oldest ones make room.
#[btf_map]
static SOURCES: LruHashMap<u32, u64, 8192> = LruHashMap::new();

/// One slot per `Counter`; per CPU, so that no packet waits for another CPU's cache line.
#[btf_map]
static COUNTERS: PerCpuArray<Count, COUNTER_SLOTS> = PerCpuArray::new();

/// What the parser hands to the filter. Per CPU is enough: XDP is not interrupted by another packet of the same CPU.
#[btf_map]
static PARSED: PerCpuArray<Packet, 1> = PerCpuArray::new();

/// The next stage; filled by user space before the first one is attached.
#[btf_map]
static STAGES: ProgramArray<1> = ProgramArray::new();

/// Sources seen for the first time.
#[btf_map]
static EVENTS: RingBuf<NewSource, { 256 * 1024 }> = RingBuf::new();

/// Adds one packet of `bytes` to a counter slot of this CPU.
#[inline(always)]
fn count(counter: Counter, bytes: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // Safety: the slot belongs to this CPU, and nothing else on it runs between the read and the write.
        unsafe {
            (*slot).packets += 1;
            (*slot).bytes += bytes;
        }
    }
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
