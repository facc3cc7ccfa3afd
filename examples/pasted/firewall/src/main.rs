use std::net::Ipv4Addr;

use aya::maps::{HashMap, RingBuf};
use aya::programs::{Xdp, XdpFlags};
use aya::{include_bytes_aligned, Bpf};
use tokio::signal;

#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    source: u32,
    length: u64,
    port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    env_logger::init();
    let mut bpf = Bpf::load(include_bytes_aligned!("../../target/bpfel-unknown-none/release/firewall"))?;
    let program: &mut Xdp = bpf.program_mut("xdp/firewall").unwrap().try_into()?;
    program.attach("eth0", XdpFlags::default())?;

    let mut blocklist: HashMap<_, u32, u32> = HashMap::try_from(bpf.take_map("BLOCKLIST").unwrap())?;
    let blocked = u32::from(Ipv4Addr::new(192, 0, 2, 1)).to_be();
    blocklist.insert(blocked, 0, 0)?;

    let mut events = RingBuf::try_from(bpf.take_map("EVENTS").unwrap())?;
    tokio::spawn(async move {
        loop {
            while let Some(item) = events.next() {
                let event = unsafe { std::ptr::read_unaligned(item.as_ptr() as *const Event) };
                println!("{} {}", Ipv4Addr::from(event.source), event.length);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });

    signal::ctrl_c().await?;
    Ok(())
}
