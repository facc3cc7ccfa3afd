//! Logs one record of each level for every packet. Built with both generations of aya-log-ebpf.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use aya_log_ebpf::{debug, error, info, trace, warn};

#[xdp]
pub fn logger(ctx: XdpContext) -> u32 {
    let length = ctx.data_end() - ctx.data();
    info!(&ctx, "packet of {} bytes", length);
    warn!(&ctx, target: "addresses", "from {:i} at {:mac}", 0x0a00_0001_u32, [2_u8, 0, 0, 0, 0, 1]);
    error!(&ctx, "flags {:x} {:X}", 0xbeef_u16, 0xcafe_u64);
    debug!(&ctx, "signed {}", -5_i32);
    trace!(&ctx, "nothing");
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[link_section = "license"]
#[no_mangle]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
