//! A sockmap verdict that was meant to let everything through.
use aya_ebpf::{macros::sk_msg, programs::SkMsgContext};
use packet_counter_common::Counter;

use crate::count;

#[sk_msg]
pub fn count_message(ctx: SkMsgContext) -> u32 {
    match try_count_message(&ctx) {
        Ok(verdict) => verdict,
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn try_count_message(ctx: &SkMsgContext) -> Result<u32, u32> {
    count(Counter::Messages, u64::from(ctx.size()));
    Ok(0)
}
