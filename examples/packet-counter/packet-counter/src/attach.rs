//! What may be missing on a kernel is attached here: a failure is said and the rest goes on.
use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{KProbe, TracePoint},
};

/// `sys_enter_openat` exists since 2.6.29, `sys_enter_openat2` since 5.6.
pub fn tracepoints(ebpf: &mut Ebpf) {
    for (program, event) in [("count_openat", "sys_enter_openat"), ("count_openat2", "sys_enter_openat2")] {
        if let Err(error) = tracepoint(ebpf, program, event) {
            eprintln!("skipped {program}: {error:#}");
        }
    }
}

/// Probes need a kernel with CONFIG_KPROBES; some virtual machines refuse them.
pub fn probes(ebpf: &mut Ebpf) {
    for program in ["connect_begin", "connect_end"] {
        if let Err(error) = probe(ebpf, program, "tcp_v4_connect") {
            eprintln!("skipped {program}: {error:#}");
        }
    }
}

fn tracepoint(ebpf: &mut Ebpf, program: &str, event: &str) -> Result<()> {
    let program: &mut TracePoint = ebpf.program_mut(program).context("no such program")?.try_into()?;
    program.load()?;
    program.attach("syscalls", event)?;
    Ok(())
}

fn probe(ebpf: &mut Ebpf, program: &str, function: &str) -> Result<()> {
    let program: &mut KProbe = ebpf.program_mut(program).context("no such program")?.try_into()?;
    program.load()?;
    program.attach(function, 0)?;
    Ok(())
}
