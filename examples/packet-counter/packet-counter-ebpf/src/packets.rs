//! XDP: `packet_parser` reads the headers, `packet_filter` counts, reports and drops.
use core::ptr;

use aya_ebpf::{bindings::xdp_action, helpers::bpf_ktime_get_ns, macros::xdp, programs::XdpContext};
use packet_counter_common::{Counter, NewSource, Packet, STAGE_FILTER};

use crate::{BLOCKED, CONFIG, EVENTS, PARSED, SOURCES, STAGES, count};

const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IP_OFFSET_MASK: u16 = 0x1fff;

/// Reads a `T` at `offset` if the packet holds it. The comparison and the read use the same pointer, so that the
/// verifier sees one fact.
#[inline(always)]
fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // Safety: inside the packet, checked above; unaligned reads are fine on the CPUs that run this.
    Some(unsafe { ptr::read_unaligned(start as *const T) })
}

/// First stage: parses Ethernet and IPv4 and hands over to `packet_filter`.
#[xdp]
pub fn packet_parser(ctx: XdpContext) -> u32 {
    match parse(&ctx) {
        Some(packet) => hand_over(&ctx, &packet),
        None => {
            count(Counter::Other, 0);
            xdp_action::XDP_PASS
        }
    }
}

#[inline(always)]
fn parse(ctx: &XdpContext) -> Option<Packet> {
    if u16::from_be(read(ctx, 12)?) != ETH_P_IP {
        return None;
    }
    let version_ihl: u8 = read(ctx, ETH_LEN)?;
    // The header is 20 to 60 bytes long; options are skipped, not assumed away.
    let header = usize::from(version_ihl & 0x0f) * 4;
    if version_ihl >> 4 != 4 || header < 20 {
        return None;
    }
    let protocol: u8 = read(ctx, ETH_LEN + 9)?;
    let fragment = u16::from_be(read(ctx, ETH_LEN + 6)?);
    let mut packet = Packet {
        source: read(ctx, ETH_LEN + 12)?,
        destination: read(ctx, ETH_LEN + 16)?,
        source_port: 0,
        destination_port: 0,
        protocol: u32::from(protocol),
        length: (ctx.data_end() - ctx.data()) as u32,
    };
    // Only the first fragment carries ports.
    if fragment & IP_OFFSET_MASK == 0 && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
        let ports: [u16; 2] = read(ctx, ETH_LEN + header)?;
        packet.source_port = u16::from_be(ports[0]);
        packet.destination_port = u16::from_be(ports[1]);
    }
    Some(packet)
}

#[inline(always)]
fn hand_over(ctx: &XdpContext, packet: &Packet) -> u32 {
    let Some(slot) = PARSED.get_ptr_mut(0) else {
        return xdp_action::XDP_PASS;
    };
    // Safety: this CPU's only slot; `packet_filter` reads it before the next packet.
    unsafe { *slot = *packet };
    // Safety: slot STAGE_FILTER holds an XDP program; a successful tail call does not return.
    unsafe { STAGES.tail_call(ctx, STAGE_FILTER) };
    // Only reached when the slot is empty: count it, let the packet through.
    count(Counter::NoStage, u64::from(packet.length));
    xdp_action::XDP_PASS
}

/// Second stage: counts, reports each source once and drops what is blocked. Runs only through `STAGES`.
#[xdp]
pub fn packet_filter(_ctx: XdpContext) -> u32 {
    let (Some(packet), Some(config)) = (PARSED.get(0), CONFIG.get(0)) else {
        return xdp_action::XDP_PASS;
    };
    let length = u64::from(packet.length);
    count(Counter::Seen, length);
    // Safety: the value is not kept; only its presence counts.
    let listed = unsafe { BLOCKED.get(&packet.source) }.is_some();
    let blocked = listed && config.enforce != 0;
    if config.report_sources != 0 {
        report(packet, blocked);
    }
    if blocked {
        count(Counter::Blocked, length);
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

#[inline(always)]
fn report(packet: &Packet, blocked: bool) {
    // Safety: only the presence of the key is used.
    if unsafe { SOURCES.get(&packet.source) }.is_some() {
        return;
    }
    // Safety: no arguments, no memory touched.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    if SOURCES.insert(&packet.source, &time_ns, 0).is_err() {
        return;
    }
    let Some(mut event) = EVENTS.reserve(0) else {
        count(Counter::LostEvents, 0);
        return;
    };
    event.write(NewSource { time_ns, packet: *packet, blocked: u32::from(blocked) });
    event.submit(0);
}
