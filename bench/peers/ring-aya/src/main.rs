//! aya beside bpfsmith, ring buffers: cases and output as in `ring-libbpf/peer.c`.
use std::os::fd::AsRawFd;
use std::time::Instant;

use aya::maps::RingBuf;
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::Ebpf;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (what, path) = (words[1].as_str(), &words[2]);
    let rounds: usize = words[3].parse().unwrap();
    let mut object = Ebpf::load_file(path).unwrap();
    let name = if what == "drain" { "fill" } else { what };
    let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
    program.load().unwrap();
    let mut ring = RingBuf::try_from(object.take_map("ring").unwrap()).unwrap();
    let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
    let size: u32 = words[4].parse().unwrap();
    let repeat = match what {
        "live" => 10_000_000 / 64,
        "mixed" => size / 56 / 64,
        _ => size / 40 / 64,
    };
    let run = |program: &Xdp| {
        let packet = [0_u8; 64];
        let options = TestRunOptions { data_in: Some(&packet), repeat, ..Default::default() };
        program.test_run(options).unwrap();
    };
    let (mut sum, mut count) = (0_u64, 0_u64);
    for _ in 0..rounds {
        count = 0;
        let from;
        if what == "live" {
            from = Instant::now();
            std::thread::scope(|scope| {
                let program = &*program;
                scope.spawn(move || run(program));
                while count < u64::from(repeat) * 64 {
                    while let Some(item) = ring.next() {
                        sum += u64::from_ne_bytes(item[..8].try_into().unwrap());
                        count += 1;
                    }
                    let mut fd = libc::pollfd { fd: ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                    // SAFETY: one descriptor.
                    unsafe { libc::poll(&mut fd, 1, 10) };
                }
            });
        } else {
            run(program);
            from = Instant::now();
            while let Some(item) = ring.next() {
                sum += u64::from_ne_bytes(item[..8].try_into().unwrap());
                count += 1;
            }
        }
        println!("{what}\t{count}\t{}", from.elapsed().as_nanos());
    }
    eprintln!("{sum} {count}");
}
