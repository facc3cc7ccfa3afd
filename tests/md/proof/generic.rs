//! What user-side blocks load that name no kernel side of their own.
#![no_std]
#![no_main]
use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    macros::{classifier, kprobe, map, xdp},
    maps::{Array, HashMap},
    programs::{ProbeContext, TcContext, XdpContext},
};

#[map]
static LIMITS: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static UNUSED: HashMap<u32, u32> = HashMap::with_max_entries(8, 0);

#[kprobe]
pub fn probe(_ctx: ProbeContext) -> u32 {
    LIMITS.get(0).map_or(0, |limit| *limit as u32)
}

#[xdp]
pub fn firewall(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[classifier]
pub fn classify(_ctx: TcContext) -> i32 {
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
