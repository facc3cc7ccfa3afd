#![no_std]
#![no_main]

use core::mem;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::{HashMap, RingBuf},
    programs::XdpContext,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{IpProto, Ipv4Hdr},
    udp::UdpHdr,
};

#[repr(C)]
pub struct Event {
    pub source: u32,
    pub port: u16,
    pub length: u64,
}

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

#[map]
static BLOCKLIST: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

#[xdp]
pub fn firewall(ctx: XdpContext) -> u32 {
    match try_firewall(&ctx) {
        Ok(verdict) => verdict,
        Err(()) => xdp_action::XDP_ABORTED,
    }
}

#[inline(always)]
fn ptr_at<T>(ctx: &XdpContext, offset: usize) -> Result<*const T, ()> {
    let start = ctx.data();
    if start + offset + mem::size_of::<T>() > ctx.data_end() {
        return Err(());
    }
    Ok((start + offset) as *const T)
}

fn try_firewall(ctx: &XdpContext) -> Result<u32, ()> {
    let ethernet: *const EthHdr = ptr_at(ctx, 0)?;
    if unsafe { (*ethernet).ether_type() } != Ok(EtherType::Ipv4) {
        return Ok(xdp_action::XDP_PASS);
    }
    let ip: *const Ipv4Hdr = ptr_at(ctx, EthHdr::LEN)?;
    let source = u32::from_be_bytes(unsafe { (*ip).src_addr });
    if unsafe { (*ip).proto } != IpProto::Udp {
        return Ok(xdp_action::XDP_PASS);
    }
    let udp: *const UdpHdr = ptr_at(ctx, EthHdr::LEN + Ipv4Hdr::LEN)?;
    let port = u16::from_ne_bytes(unsafe { (*udp).dst });
    if port == 53 {
        return Ok(xdp_action::XDP_PASS);
    }
    if let Some(mut entry) = EVENTS.reserve::<Event>(0) {
        let length = (ctx.data_end() - ctx.data()) as u64;
        entry.write(Event { source, port, length });
        entry.submit(0);
    }
    if unsafe { BLOCKLIST.get(&source) }.is_some() {
        return Ok(xdp_action::XDP_DROP);
    }
    Ok(xdp_action::XDP_PASS)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    unsafe { core::hint::unreachable_unchecked() }
}
