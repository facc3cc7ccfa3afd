//! TCP between two sockets of this machine without the TCP/IP stack between them: what one writes is put straight into
//! what the other one reads.
//!
//! `remember` (sockops) puts both ends of each new connection into a map; `redirect` (sk_msg) looks for the other end
//! of every message there.
#![no_std]
#![no_main]

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_F_INGRESS, BPF_NOEXIST, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, sk_action,
    },
    btf_maps::{PerCpuArray, SockHash},
    helpers::bpf_get_netns_cookie,
    macros::{btf_map, sk_msg, sock_ops},
    programs::{SkMsgContext, SockOpsContext},
};

const AF_INET: u32 = 2;
/// What a sockops program returns when its reply counts. Ours has none to give, which is no reason to return anything else.
const REPLY: u32 = 1;

/// One end of a connection, as its own machine sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct End {
    /// The network namespace: two of them may use the same addresses.
    pub namespace: u64,
    /// Network byte order.
    pub local_address: u32,
    pub remote_address: u32,
    /// Host byte order.
    pub local_port: u32,
    pub remote_port: u32,
}

impl End {
    /// The same connection, seen from the other side.
    #[inline(always)]
    fn other(self) -> Self {
        Self {
            namespace: self.namespace,
            local_address: self.remote_address,
            remote_address: self.local_address,
            local_port: self.remote_port,
            remote_port: self.local_port,
        }
    }
}

/// What `COUNTERS` counts, one slot each.
#[repr(u32)]
pub enum Counter {
    /// Sockets put into `SOCKETS`.
    Remembered = 0,
    /// Messages handed to the other end directly.
    Redirected = 1,
    /// Messages that took the usual way: the other end is not in `SOCKETS`.
    Passed = 2,
    /// Sockets for which `SOCKETS` had no room.
    Full = 3,
}

const COUNTER_SLOTS: usize = 4;

#[repr(C)]
pub struct Count {
    pub events: u64,
    pub bytes: u64,
}

/// Both ends of each connection. The kernel removes a socket by itself when it is closed.
#[btf_map]
static SOCKETS: SockHash<End, 16384> = SockHash::new();

#[btf_map]
static COUNTERS: PerCpuArray<Count, COUNTER_SLOTS> = PerCpuArray::new();

#[inline(always)]
fn count(counter: Counter, bytes: u32) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // Safety: this CPU's element.
        unsafe {
            (*slot).events += 1;
            (*slot).bytes += u64::from(bytes);
        }
    }
}

/// Attached to a control group: sees the connections that are made in it.
#[sock_ops]
pub fn remember(ctx: SockOpsContext) -> u32 {
    let made = matches!(ctx.op(), BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB);
    if !made || ctx.family() != AF_INET {
        return REPLY;
    }
    let mut end = End {
        // Safety: the context is the one the kernel gave us.
        namespace: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        local_address: ctx.local_ip4(),
        remote_address: ctx.remote_ip4(),
        local_port: ctx.local_port(),
        remote_port: u32::from_be(ctx.remote_port()),
    };
    // Safety: as above; the kernel copies the key.
    match SOCKETS.update(&mut end, unsafe { &mut *ctx.ops }, u64::from(BPF_NOEXIST)) {
        Ok(()) => count(Counter::Remembered, 0),
        Err(_) => count(Counter::Full, 0),
    }
    REPLY
}

/// Attached to `SOCKETS`: sees what its sockets write.
#[sk_msg]
pub fn redirect(ctx: SkMsgContext) -> u32 {
    let size = ctx.size();
    // Safety: the context is the one the kernel gave us; the fields are checked and translated by the verifier.
    let end = unsafe {
        End {
            namespace: bpf_get_netns_cookie(ctx.as_ptr()),
            local_address: (*ctx.msg).local_ip4,
            remote_address: (*ctx.msg).remote_ip4,
            local_port: (*ctx.msg).local_port,
            remote_port: u32::from_be((*ctx.msg).remote_port),
        }
    };
    let verdict = SOCKETS.redirect_msg(&ctx, &mut end.other(), u64::from(BPF_F_INGRESS));
    if verdict == i64::from(sk_action::SK_PASS) {
        count(Counter::Redirected, size);
    } else {
        count(Counter::Passed, size);
    }
    // "Not found" must not become "drop": the message takes the usual way.
    sk_action::SK_PASS
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
