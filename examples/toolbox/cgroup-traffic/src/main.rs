//! Packets and bytes in and out, for each control group below the one it is attached to.
#![no_std]
#![no_main]

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    btf_maps::PerCpuHashMap,
    helpers::bpf_skb_cgroup_id,
    macros::{btf_map, cgroup_skb},
    programs::SkBuffContext,
};

/// A cgroup program lets the packet pass with 1 and drops it with 0.
const PASS: i32 = 1;

/// One control group's traffic. Bytes count from the IP header on: a cgroup program does not see the link's header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Traffic {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
}

const NOTHING: Traffic = Traffic { received_packets: 0, received_bytes: 0, sent_packets: 0, sent_bytes: 0 };

/// By id of the control group, which is the inode number of its folder. Per CPU: no packet waits for another CPU.
#[btf_map]
static TRAFFIC: PerCpuHashMap<u64, Traffic, 4096> = PerCpuHashMap::new();

/// This CPU's element of the packet's control group, made when it is the first packet.
#[inline(always)]
fn traffic(ctx: &SkBuffContext) -> Option<*mut Traffic> {
    // Safety: the context is the one the kernel gave us.
    let group = unsafe { bpf_skb_cgroup_id(ctx.as_ptr().cast()) };
    if let Some(found) = TRAFFIC.get_ptr_mut(&group) {
        return Some(found);
    }
    // BPF_NOEXIST: another CPU may be making it now, and what it has counted must stay.
    let _ = TRAFFIC.insert(&group, &NOTHING, u64::from(BPF_NOEXIST));
    TRAFFIC.get_ptr_mut(&group)
}

#[cgroup_skb(ingress)]
pub fn received(ctx: SkBuffContext) -> i32 {
    if let Some(traffic) = traffic(&ctx) {
        // Safety: this CPU's element. An interrupt that receives in the middle of this may lose one count: cheaper
        // than an atomic addition for every packet.
        unsafe {
            (*traffic).received_packets += 1;
            (*traffic).received_bytes += u64::from(ctx.len());
        }
    }
    PASS
}

#[cgroup_skb(egress)]
pub fn sent(ctx: SkBuffContext) -> i32 {
    if let Some(traffic) = traffic(&ctx) {
        // Safety: as above.
        unsafe {
            (*traffic).sent_packets += 1;
            (*traffic).sent_bytes += u64::from(ctx.len());
        }
    }
    PASS
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
