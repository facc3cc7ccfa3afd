//! Kernel side of the broken twin: it compiles, and every mistake in it was made by somebody before.
#![no_std]
#![no_main]

mod connect;
mod files;
mod messages;
mod packets;

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    macros::btf_map,
};
use packet_counter_common::{COUNTER_SLOTS, Config, Count, Counter, NewSource, Packet};

#[btf_map]
static CONFIG: Array<Config, 1> = Array::new();

#[btf_map]
static BLOCKED: HashMap<u32, u32, 4096> = HashMap::new();

#[btf_map]
static SOURCES_FIRST_SEEN: LruHashMap<u32, u64, 8192> = LruHashMap::new();

#[btf_map]
static SOURCES_FIRST_SEEN_AT: LruHashMap<u32, u64, 8192> = LruHashMap::new();

#[btf_map]
static COUNTERS: PerCpuArray<Count, COUNTER_SLOTS> = PerCpuArray::new();

#[btf_map]
static TOTALS: HashMap<u32, u64, 16> = HashMap::new();

#[btf_map]
static PARSED: PerCpuArray<Packet, 1> = PerCpuArray::new();

#[btf_map]
static STAGES: ProgramArray<1> = ProgramArray::new();

#[btf_map]
static EVENTS: RingBuf<NewSource, { 100 * 1000 }> = RingBuf::new();

#[btf_map]
static DEBUG_SAMPLES: HashMap<u32, u64, 128> = HashMap::new();

#[inline(always)]
fn count(counter: Counter, bytes: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // Safety: the slot belongs to this CPU.
        unsafe {
            (*slot).packets += 1;
            (*slot).bytes += bytes;
        }
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { core::hint::unreachable_unchecked() }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"MIT\0";
