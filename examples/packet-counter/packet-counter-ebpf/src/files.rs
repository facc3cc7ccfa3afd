//! Tracepoints: how often processes open files.
use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use packet_counter_common::Counter;

use crate::count;

/// `syscalls:sys_enter_openat`
#[tracepoint]
pub fn count_openat(_ctx: TracePointContext) -> u32 {
    count(Counter::Openat, 0);
    0
}

/// `syscalls:sys_enter_openat2`
#[tracepoint]
pub fn count_openat2(_ctx: TracePointContext) -> u32 {
    count(Counter::Openat2, 0);
    0
}
