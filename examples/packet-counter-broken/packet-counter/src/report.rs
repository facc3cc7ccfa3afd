//! What the user reads.
use std::net::Ipv4Addr;

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use packet_counter_common::{Count, Counter, NewSource};

/// Prints one record of `EVENTS`; a record of another size is reported, not guessed at.
pub fn event(record: &[u8]) {
    if record.len() != size_of::<NewSource>() {
        eprintln!("a record of {} bytes, expected {}", record.len(), size_of::<NewSource>());
        return;
    }
    // Safety: the length was checked, any byte pattern is a valid `NewSource`, and the read may be unaligned.
    let event = unsafe { record.as_ptr().cast::<NewSource>().read_unaligned() };
    let packet = event.packet;
    println!(
        "new source {} -> {}:{} protocol {}{}",
        address(packet.source),
        address(packet.destination),
        packet.destination_port,
        packet.protocol,
        if event.blocked == 1 { " (blocked)" } else { "" },
    );
}

/// Prints every counter, summed over the CPUs.
pub fn totals(counters: &PerCpuArray<MapData, Count>) -> Result<()> {
    for (counter, text) in [
        (Counter::Seen, "packets"),
        (Counter::Blocked, "blocked"),
        (Counter::Other, "not IPv4"),
        (Counter::NoStage, "without a filter"),
        (Counter::LostEvents, "lost events"),
        (Counter::Openat, "openat"),
        (Counter::Openat2, "openat2"),
        (Counter::Connects, "connects"),
        (Counter::FailedConnects, "failed connects"),
    ] {
        let values = counters.get(&(counter as u32), 0)?;
        let packets: u64 = values.iter().map(|count| count.packets).sum();
        let bytes: u64 = values.iter().map(|count| count.bytes).sum();
        if bytes > 0 {
            println!("{text:>17}: {packets} ({bytes} bytes)");
        } else {
            println!("{text:>17}: {packets}");
        }
    }
    Ok(())
}

/// Addresses travel in network byte order: the bytes in memory are the octets.
fn address(network_order: u32) -> Ipv4Addr {
    Ipv4Addr::from(network_order.to_ne_bytes())
}
