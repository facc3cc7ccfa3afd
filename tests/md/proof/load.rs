//! Loads every program of the object named first, as a user of Aya does.
use aya::{Ebpf, programs::Program};

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let mut ebpf = Ebpf::load_file(path)?;
    for (_, program) in ebpf.programs_mut() {
        match program {
            Program::KProbe(one) => one.load()?,
            Program::UProbe(one) => one.load()?,
            Program::TracePoint(one) => one.load()?,
            Program::RawTracePoint(one) => one.load()?,
            Program::PerfEvent(one) => one.load()?,
            Program::Xdp(one) => one.load()?,
            Program::SchedClassifier(one) => one.load()?,
            Program::SocketFilter(one) => one.load()?,
            Program::CgroupSkb(one) => one.load()?,
            Program::CgroupSock(one) => one.load()?,
            Program::CgroupSockAddr(one) => one.load()?,
            Program::CgroupDevice(one) => one.load()?,
            Program::CgroupSysctl(one) => one.load()?,
            Program::SockOps(one) => one.load()?,
            Program::SkMsg(one) => one.load()?,
            Program::SkSkb(one) => one.load()?,
            Program::SkLookup(one) => one.load()?,
            _ => anyhow::bail!("the loader of this test does not know the type"),
        }
    }
    println!("loaded");
    Ok(())
}
