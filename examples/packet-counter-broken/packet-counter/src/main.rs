//! User side of the broken twin.
mod attach;
mod report;

use std::{
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Bpf,
    maps::{Array, HashMap, MapData, PerCpuArray, ProgramArray, RingBuf},
    programs::{Xdp, XdpMode},
};
use clap::{Parser, ValueEnum};
use packet_counter_common::{Config, Count, STAGE_FILTER};
use signal_hook::consts::{SIGINT, SIGTERM};

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Default,
    Skb,
    Driver,
}

/// Counts packets per source, reports new sources, drops blocked ones.
#[derive(Parser)]
struct Args {
    /// The network interface.
    interface: String,
    /// Drop packets from this address (may be repeated).
    #[arg(long, value_name = "ADDRESS")]
    block: Vec<Ipv4Addr>,
    /// Count blocked packets but let them through.
    #[arg(long)]
    dry_run: bool,
    /// Where XDP runs: `skb` works on every interface.
    #[arg(long, value_enum, default_value = "default")]
    mode: Mode,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot register the signal handler")?;
    }

    let mut ebpf = Bpf::load(include_bytes!(concat!(env!("OUT_DIR"), "/packet-counter")))
        .context("cannot load the eBPF object (root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)")?;

    configure(&mut ebpf, &args)?;
    fill_stages(&mut ebpf)?;
    let counters: PerCpuArray<MapData, Count> =
        PerCpuArray::try_from(ebpf.take_map("COUNTERS").context("map `COUNTERS` is missing")?)?;
    let events = RingBuf::try_from(ebpf.take_map("EVENTS").context("map `EVENTS` is missing")?)?;

    attach_xdp(&mut ebpf, &args)?;
    attach::tracepoints(&mut ebpf);
    attach::probes(&mut ebpf);
    println!("counting on {}; Ctrl-C ends it", args.interface);

    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    follow(events, &stop, until)?;
    report::totals(&counters)
}

/// Fills `CONFIG` and `BLOCKED`.
fn configure(ebpf: &mut Bpf, args: &Args) -> Result<()> {
    let mut config: Array<_, Config> = Array::try_from(ebpf.map_mut("CONFIG").context("map `CONFIG` is missing")?)?;
    let value = Config { enforce: u32::from(!args.dry_run), report_sources: 1 };
    config.set(0, &value, 0).context("cannot write the configuration")?;

    let mut blocked: HashMap<_, u32, u32> =
        HashMap::try_from(ebpf.map_mut("BLOCKED").context("map `BLOCKED` is missing")?)?;
    for address in &args.block {
        // As it stands in the packet: network byte order.
        let key = u32::from_ne_bytes(address.octets());
        blocked.insert(&key, &1, 0).with_context(|| format!("cannot block {address}"))?;
    }
    Ok(())
}

/// Loads the second stage and puts it into `STAGES`.
fn fill_stages(ebpf: &mut Bpf) -> Result<()> {
    let mut stages = ProgramArray::try_from(ebpf.take_map("STAGES").context("map `STAGES` is missing")?)?;
    let filter: &mut Xdp =
        ebpf.program_mut("packet_filter").context("program `packet_filter` is missing")?.try_into()?;
    filter.load().context("the kernel rejected `packet_filter`")?;
    stages.set(STAGE_FILTER, filter.fd()?, 0).context("cannot fill the program array")?;
    Ok(())
}

fn attach_xdp(ebpf: &mut Bpf, args: &Args) -> Result<()> {
    let parser: &mut Xdp =
        ebpf.program_mut("packet_parser").context("program `packet_parser` is missing")?.try_into()?;
    parser.load().context("the kernel rejected `packet_parser`")?;
    let mode = match args.mode {
        Mode::Default => XdpMode::Default,
        Mode::Skb => XdpMode::Skb,
        Mode::Driver => XdpMode::Driver,
    };
    let link = parser
        .attach(&args.interface, mode)
        .with_context(|| format!("cannot attach to `{}` (try --mode skb)", args.interface))?;
    let _ = parser.take_link(link)?;
    Ok(())
}

/// Prints events until a signal or the time ends it.
fn follow(mut events: RingBuf<MapData>, stop: &AtomicBool, until: Option<Instant>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) && until.is_none_or(|end| Instant::now() < end) {
        while let Some(record) = events.next() {
            report::event(&record);
        }
        let mut poll = libc::pollfd { fd: events.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Safety: one valid pollfd; a signal interrupts the wait, and the loop condition sees the flag.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 200) };
        if ready < 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(error).context("cannot wait for events");
            }
        }
    }
    Ok(())
}
