//! XDP: `packet_parser` reads the headers, `packet_filter` counts, reports and drops.
use core::ptr;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_printk},
    macros::xdp,
    programs::XdpContext,
    EbpfContext as _,
};
use packet_counter_common::{Counter, NewSource, Packet, STAGE_FILTER};

use crate::{BLOCKED, CONFIG, EVENTS, PARSED, SOURCES_FIRST_SEEN, SOURCES_FIRST_SEEN_AT, STAGES, TOTALS, count};

const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const WEIGHTS: [u64; 4] = [1, 2, 4, 8];

#[inline(always)]
fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // Safety: inside the packet, checked above.
    Some(unsafe { ptr::read_unaligned(start as *const T) })
}

#[xdp]
pub fn packet_parser(ctx: XdpContext) -> u32 {
    let packet = parse(&ctx).unwrap();
    hand_over(&ctx, &packet)
}

#[inline(always)]
fn parse(ctx: &XdpContext) -> Option<Packet> {
    if u16::from_be(read(ctx, 12)?) != ETH_P_IP {
        return None;
    }
    let protocol: u8 = read(ctx, ETH_LEN + 9)?;
    let ports: [u16; 2] = read(ctx, ETH_LEN + 20)?;
    Some(Packet {
        source: read(ctx, ETH_LEN + 12)?,
        destination: read(ctx, ETH_LEN + 16)?,
        source_port: u16::from_be(ports[0]),
        destination_port: u16::from_be(ports[1]),
        protocol: u32::from(protocol),
        length: (ctx.data_end() - ctx.data()) as u32,
    })
}

#[inline(always)]
fn hand_over(ctx: &XdpContext, packet: &Packet) -> u32 {
    let Some(slot) = PARSED.get_ptr_mut(0) else {
        return xdp_action::XDP_PASS;
    };
    // Safety: this CPU's only slot.
    unsafe { *slot = *packet };
    // Safety: slot STAGE_FILTER holds an XDP program.
    unsafe { STAGES.tail_call(ctx, STAGE_FILTER) };
    xdp_action::XDP_PASS
}

#[xdp]
pub fn packet_filter(ctx: XdpContext) -> u32 {
    let (Some(packet), Some(config)) = (PARSED.get(0), CONFIG.get(0)) else {
        return xdp_action::XDP_PASS;
    };
    let length = u64::from(packet.length);
    let weight = WEIGHTS[packet.protocol as usize];
    count(Counter::Seen, length * weight);
    // Safety: the value is copied at once.
    if let Some(total) = TOTALS.get_ptr_mut(&0) {
        unsafe { *total += length };
    }
    // Safety: only presence counts.
    let blocked = unsafe { BLOCKED.get(&packet.source) }.is_some() && config.enforce != 0;
    report(&ctx, packet, blocked);
    if blocked {
        count(Counter::Blocked, length);
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

#[inline(always)]
fn report(ctx: &XdpContext, packet: &Packet, blocked: bool) {
    // Safety: only the presence of the key is used.
    if unsafe { SOURCES_FIRST_SEEN.get(&packet.source) }.is_some() {
        return;
    }
    // Safety: no memory touched.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let _ = SOURCES_FIRST_SEEN.insert(&packet.source, &time_ns, 0);
    let _ = SOURCES_FIRST_SEEN_AT.insert(&packet.source, &cookie, 0);
    // Safety: a constant format string.
    unsafe { bpf_printk!(c"new source %x", packet.source) };
    let Some(mut event) = EVENTS.reserve(0) else {
        count(Counter::LostEvents, 0);
        return;
    };
    event.write(NewSource { time_ns, packet: *packet, blocked: u32::from(blocked) });
    event.submit(0);
}
