//! Every change of state of every TCP socket, with the time spent in the state before, as records in a ring buffer.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::{LruHashMap, PerCpuArray, RingBuf},
    helpers::bpf_ktime_get_ns,
    macros::{btf_map, tracepoint},
    programs::TracePointContext,
};

const IPPROTO_TCP: u16 = 6;
const TCP_CLOSE: i32 = 7;

/// The fields of tracepoint `sock:inet_sock_set_state`, from offset 8 on, as they are since Linux 5.6
/// (`/sys/kernel/tracing/events/sock/inet_sock_set_state/format`).
#[repr(C)]
#[derive(Clone, Copy)]
struct SetState {
    socket: u64,
    old: i32,
    new: i32,
    source_port: u16,
    destination_port: u16,
    family: u16,
    protocol: u16,
    source_v4: [u8; 4],
    destination_v4: [u8; 4],
    source: [u8; 16],
    destination: [u8; 16],
}

const FIELDS: usize = 8;

/// One change of state: the record in `EVENTS`.
#[repr(C)]
pub struct Change {
    /// `bpf_ktime_get_ns` at the change.
    pub time_ns: u64,
    /// How long the socket was in `old`; 0 when that was not seen.
    pub spent_ns: u64,
    /// The kernel's address of the socket: the same for all changes of one socket.
    pub socket: u64,
    /// `TCP_ESTABLISHED` is 1 .. `TCP_NEW_SYN_RECV` is 12.
    pub old: u32,
    pub new: u32,
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    pub destination: [u8; 16],
    /// Host byte order.
    pub source_port: u16,
    pub destination_port: u16,
    /// `AF_INET` is 2, `AF_INET6` is 10.
    pub family: u32,
}

/// When each socket came into its present state. LRU: a socket that was there before us never shows its end.
#[btf_map]
static SINCE: LruHashMap<u64, u64, 65536> = LruHashMap::new();

#[btf_map]
static EVENTS: RingBuf<Change, { 256 * 1024 }> = RingBuf::new();

/// Element 0: changes nobody will see, because `EVENTS` was full.
#[btf_map]
static LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

#[tracepoint(category = "sock", name = "inet_sock_set_state")]
pub fn state_changes(ctx: TracePointContext) -> u32 {
    // Safety: `SetState` is how the tracepoint's fields lie, all plain numbers; one copy instead of nine.
    let Ok(fields) = (unsafe { ctx.read_at::<SetState>(FIELDS) }) else {
        return 0;
    };
    // The tracepoint also tells of SCTP and MPTCP.
    if fields.protocol != IPPROTO_TCP {
        return 0;
    }
    // Safety: no arguments, no memory touched.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    // Safety: the value is copied at once; a socket changes its state under its own lock.
    let since = unsafe { SINCE.get(&fields.socket) }.copied();
    if fields.new == TCP_CLOSE {
        let _ = SINCE.remove(&fields.socket);
    } else {
        // Fails only under heavy contention; then one time is unknown.
        let _ = SINCE.insert(&fields.socket, &time_ns, 0);
    }
    let Some(mut event) = EVENTS.reserve(0) else {
        if let Some(lost) = LOST.get_ptr_mut(0) {
            // Safety: this CPU's element.
            unsafe { *lost += 1 };
        }
        return 0;
    };
    event.write(Change {
        time_ns,
        spent_ns: since.map_or(0, |since| time_ns.saturating_sub(since)),
        socket: fields.socket,
        old: fields.old as u32,
        new: fields.new as u32,
        source: fields.source,
        destination: fields.destination,
        source_port: fields.source_port,
        destination_port: fields.destination_port,
        family: u32::from(fields.family),
    });
    event.submit(0);
    0
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
