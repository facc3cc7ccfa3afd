//! Drops DNS queries of clients that ask too often, and counts what each client asked. It compiles, and no verifier takes
//! it: `bpfsmith explain` says why, and where.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, LruHashMap},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const IP_P_UDP: u8 = 17;
const DNS_PORT: u16 = 53;

#[repr(C)]
pub struct Ipv4 {
    pub version_and_length: u8,
    pub tos: u8,
    pub total_length: [u8; 2],
    pub id: [u8; 2],
    pub fragment: [u8; 2],
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: [u8; 2],
    pub source: [u8; 4],
    pub destination: [u8; 4],
}

#[repr(C)]
pub struct Udp {
    pub source: [u8; 2],
    pub destination: [u8; 2],
    pub length: [u8; 2],
    pub checksum: [u8; 2],
}

#[repr(C)]
pub struct Client {
    pub queries: u64,
    pub bytes: u64,
}

/// Source address -> what this client asked.
#[btf_map]
static CLIENTS: LruHashMap<[u8; 4], Client, 4096> = LruHashMap::new();

/// Entry 0: how many queries a client may send.
#[btf_map]
static LIMIT: Array<u64, 1> = Array::new();

/// The packet's bytes from `offset` on as a `T`.
#[inline(always)]
fn ptr_at<T>(ctx: &XdpContext, offset: usize) -> Option<*const T> {
    let start = ctx.data();
    if start + offset + size_of::<T>() > ctx.data_end() {
        return None;
    }
    Some((start + offset) as *const T)
}

#[xdp]
pub fn dns_guard(ctx: XdpContext) -> u32 {
    guard(&ctx).unwrap_or(xdp_action::XDP_PASS)
}

#[inline(always)]
fn guard(ctx: &XdpContext) -> Option<u32> {
    let ethertype = unsafe { *ptr_at::<[u8; 2]>(ctx, ETH_LEN - 2)? };
    if u16::from_be_bytes(ethertype) != ETH_P_IP {
        return None;
    }
    let ip = ptr_at::<Ipv4>(ctx, ETH_LEN)?;
    if unsafe { (*ip).protocol } != IP_P_UDP {
        return None;
    }
    let words = unsafe { (*ip).version_and_length } & 15;
    if sum(unsafe { &*ip.cast() }) != 0xffff {
        return Some(xdp_action::XDP_DROP);
    }
    let transport = ctx.data() + ETH_LEN + usize::from(words) * 4;
    if transport > ctx.data_end() {
        return None;
    }
    let udp = transport as *const Udp;
    if u16::from_be_bytes(unsafe { (*udp).destination }) != DNS_PORT {
        return None;
    }
    let bytes = u64::from(u16::from_be_bytes(unsafe { (*udp).length }));
    let source = unsafe { (*ip).source };
    let queries = count(&source, bytes)?;
    let limit = *LIMIT.get(0)?;
    Some(if queries > limit { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS })
}

/// The ones' complement sum of an IPv4 header without options.
#[inline(always)]
fn sum(words: &[[u8; 2]; 10]) -> u32 {
    let mut sum = 0;
    for word in words {
        sum += u32::from(u16::from_be_bytes(*word));
    }
    (sum & 0xffff) + (sum >> 16)
}

/// Counts one query of a client; how many it has sent by now.
#[inline(always)]
fn count(source: &[u8; 4], bytes: u64) -> Option<u64> {
    if let Some(client) = CLIENTS.get_ptr_mut(source) {
        let client = unsafe { &mut *client };
        client.queries += 1;
        client.bytes += bytes;
        return Some(client.queries);
    }
    let first = Client { queries: 1, bytes };
    CLIENTS.insert(source, &first, 0).ok()?;
    Some(1)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
