//! Marks IPv4 packets by the address at the other end: the longest prefix in `MARKS` decides.
//!
//! The mark (`skb->mark`) is what `ip rule fwmark`, nftables' `meta mark` and tc's `fw` filter go by.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::{BPF_NOEXIST, TC_ACT_UNSPEC},
    btf_maps::{LpmTrie, PerCpuHashMap, lpm_trie::Key},
    macros::{btf_map, classifier},
    programs::TcContext,
};

const ETH_TYPE: usize = 12;
const ETH_LEN: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const IP_SOURCE: usize = ETH_LEN + 12;
const IP_DESTINATION: usize = ETH_LEN + 16;

/// The other programs of this hook and the rest of the kernel go on: we only mark.
const CONTINUE: i32 = TC_ACT_UNSPEC;

#[repr(C)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// Prefix (address in network byte order) -> mark.
#[btf_map]
static MARKS: LpmTrie<[u8; 4], u32, 4096> = LpmTrie::new();

/// Mark -> what was marked with it.
#[btf_map]
static COUNTS: PerCpuHashMap<u32, Count, 1024> = PerCpuHashMap::new();

/// What comes in is marked by its source.
#[classifier]
pub fn mark_ingress(ctx: TcContext) -> i32 {
    mark(&ctx, IP_SOURCE);
    CONTINUE
}

/// What goes out is marked by its destination.
#[classifier]
pub fn mark_egress(ctx: TcContext) -> i32 {
    mark(&ctx, IP_DESTINATION);
    CONTINUE
}

#[inline(always)]
fn mark(ctx: &TcContext, address: usize) -> Option<()> {
    // `load` copies and works for packets in several pieces; a packet that is too short ends here.
    if u16::from_be(ctx.load(ETH_TYPE).ok()?) != ETH_P_IP {
        return None;
    }
    let key = Key::new(32, ctx.load::<[u8; 4]>(address).ok()?);
    let mark = *MARKS.get(&key)?;
    ctx.set_mark(mark);
    let count = count(mark)?;
    // Safety: this CPU's element. An interrupt that sends in the middle of this may lose one count.
    unsafe {
        (*count).packets += 1;
        (*count).bytes += u64::from(ctx.len());
    }
    Some(())
}

/// This CPU's counter of `mark`, made when it is the first packet.
#[inline(always)]
fn count(mark: u32) -> Option<*mut Count> {
    if let Some(found) = COUNTS.get_ptr_mut(&mark) {
        return Some(found);
    }
    // BPF_NOEXIST: another CPU may be making it now, and what it has counted must stay.
    let _ = COUNTS.insert(&mark, &Count { packets: 0, bytes: 0 }, u64::from(BPF_NOEXIST));
    COUNTS.get_ptr_mut(&mark)
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
