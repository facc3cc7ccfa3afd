//! Probes on `tcp_v4_connect`: how many connections are begun, and how many fail at once.
use aya_ebpf::{
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use packet_counter_common::Counter;

use crate::count;

#[kprobe]
pub fn connect_begin(_ctx: ProbeContext) -> u32 {
    count(Counter::Connects, 0);
    0
}

#[kretprobe]
pub fn connect_end(ctx: RetProbeContext) -> u32 {
    let result: i32 = ctx.ret();
    if result < 0 {
        count(Counter::FailedConnects, 0);
    }
    0
}
