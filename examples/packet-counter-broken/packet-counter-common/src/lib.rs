//! What both sides of the boundary mean by the same bytes.
//!
//! Every type is `#[repr(C)]`, holds only integers and has no padding, so any byte pattern is valid and the layout
//! is the same for both compilers.
#![no_std]

/// Slot of `packet_filter` in the program array `STAGES`.
pub const STAGE_FILTER: u32 = 0;

/// What `COUNTERS` counts, one slot each.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Packets that reached `packet_filter`.
    Seen = 0,
    /// Packets dropped because their source is in `BLOCKED`.
    Blocked = 1,
    /// Frames that are not IPv4, or cut short: passed on uncounted by the filter.
    Other = 2,
    /// Tail calls that failed because `STAGES` was empty.
    NoStage = 3,
    /// Events lost because `EVENTS` was full.
    LostEvents = 4,
    /// `openat` calls.
    Openat = 5,
    /// `openat2` calls.
    Openat2 = 6,
    /// Calls of `tcp_v4_connect`.
    Connects = 7,
    /// Calls of `tcp_v4_connect` that failed.
    FailedConnects = 8,
    /// Messages sent through the sockmap.
    Messages = 9,
}

/// Number of slots in `COUNTERS`.
pub const COUNTER_SLOTS: usize = 10;

/// Packets and bytes of one counter slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// What user space may change while the programs run: element 0 of `CONFIG`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// 1: drop packets of blocked sources; 0: only count them.
    pub enforce: u32,
    /// 1: report each source address once in `EVENTS`.
    pub report_sources: u32,
}

/// What `packet_parser` hands to `packet_filter` through `PARSED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source and destination address, network byte order.
    pub source: u32,
    pub destination: u32,
    /// Ports, host byte order; 0 where the protocol has none or the packet is a later fragment.
    pub source_port: u16,
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u32,
    /// Length of the frame in bytes.
    pub length: u32,
}

/// A source address seen for the first time: the record in `EVENTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSource {
    /// `bpf_ktime_get_ns` at the first packet.
    pub time_ns: u64,
    pub packet: Packet,
    /// 1 when the packet was dropped.
    pub blocked: u32,
}

#[cfg(feature = "user")]
mod user {
    use super::{Config, Count, NewSource, Packet};

    // Safety: `repr(C)`, integers only, no padding: every byte pattern is a valid value.
    unsafe impl aya::Pod for Config {}
    unsafe impl aya::Pod for Count {}
    unsafe impl aya::Pod for NewSource {}
    unsafe impl aya::Pod for Packet {}
}

const _: () = {
    assert!(size_of::<Count>() == 16);
    assert!(size_of::<Config>() == 8);
    assert!(size_of::<Packet>() == 20);
    assert!(size_of::<NewSource>() == 32);
};
