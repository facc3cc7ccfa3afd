//! Loading by aya beside bpfsmith: as in `load-libbpf/peer.c`.
use std::time::Instant;

use aya::programs::Program;
use aya::Ebpf;

fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let again: u32 = words.get(2).map_or(0, |word| word.parse().unwrap());
    for i in 0..=again {
        let (wall, used) = (Instant::now(), cpu());
        let mut object = Ebpf::load_file(&words[1]).unwrap();
        for (_, program) in object.programs_mut() {
            match program {
                Program::Xdp(program) => program.load().unwrap(),
                Program::TracePoint(program) => program.load().unwrap(),
                Program::RawTracePoint(program) => program.load().unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let (used, wall) = (cpu() - used, wall.elapsed().as_nanos() as f64 / 1e3);
        if i == 0 || i == again {
            println!("{}\t{wall:.3}\t{used:.3}", if i == 0 { "first" } else { "again" });
        }
    }
}
