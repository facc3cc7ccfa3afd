//! Whole maps by aya beside bpfsmith: cases as in `maps-libbpf/peer.c`. aya has no batches and maps no arrays.
use std::time::Instant;

use aya::maps::{Array, HashMap, Map, MapData};

const COUNT: u32 = 1_000_000;

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
    let data = MapData::from_pin(&words[2]).unwrap();
    if words[1] == "array" {
        let mut map = Map::Array(data);
        let array: Array<_, u64> = Array::try_from(&mut map).unwrap();
        let from = Watch::start();
        let sum: u64 = array.iter().map(|value| value.unwrap()).sum();
        from.stop("mapped and read");
        assert_eq!(sum, u64::from(COUNT - 1) * u64::from(COUNT) / 2);
        return;
    }
    let mut map = Map::HashMap(data);
    let mut table: HashMap<_, u32, u64> = HashMap::try_from(&mut map).unwrap();
    let from = Watch::start();
    if words[1] == "dump" {
        let mut all = Vec::with_capacity(COUNT as usize);
        for pair in table.iter() {
            all.push(pair.unwrap());
        }
        from.stop("dump");
        assert_eq!(all.len(), COUNT as usize);
    } else {
        for key in 0..COUNT {
            table.insert(key, u64::from(key) * 2, 0).unwrap();
        }
        from.stop("update");
    }
}
