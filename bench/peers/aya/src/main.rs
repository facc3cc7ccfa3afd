//! aya beside bpfsmith: one case per process, `metric<TAB>wall us<TAB>cpu us` per line. Cases as in `libbpf/peer.c`.
use std::time::Instant;

use aya_obj::btf::{Btf, BtfKind};
use aya_obj::Object;

fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

struct Watch(Instant, f64);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn stop(&self, metric: &str) {
        let (cpu, wall) = (cpu() - self.1, self.0.elapsed().as_nanos() as f64 / 1e3);
        println!("{metric}\t{wall:.3}\t{cpu:.3}");
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let from = Watch::start();
    if words[1] == "btf" {
        let btf = Btf::from_sys_fs().unwrap();
        from.stop("parse");
        // It has no public layout query, so the offset of a member is not measured.
        assert!(btf.id_by_type_name_kind("task_struct", BtfKind::Struct).unwrap() > 0);
        from.stop("first lookup");
        return;
    }
    let data = std::fs::read(&words[2]).unwrap();
    let mut object = Object::parse(&data).unwrap();
    from.stop("parse");
    if words[1] == "core" {
        let kernel = Btf::from_sys_fs().unwrap();
        object.relocate_btf(&kernel).unwrap();
        from.stop("core and kernel types");
    }
}
