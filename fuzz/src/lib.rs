//! One libFuzzer target is one target of `bpfsmith_fuzz`, with its changes beside libFuzzer's own.

/// libFuzzer's two entry points for the target of that name.
#[macro_export]
macro_rules! drive {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::run($name, data));
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
            $crate::mutate($name, data, size, most, seed)
        });
    };
}

/// Runs and judges the bytes; too slow or too large is a crash, as a panic is.
pub fn run(name: &str, data: &[u8]) {
    let target = bpfsmith_fuzz::targets::by_name(name).expect("a target");
    if let Err(failure) = bpfsmith_fuzz::limits::judge(data.len(), || (target.run)(data)) {
        eprintln!("{failure}");
        std::process::abort();
    }
}

/// Our change of the bytes two times of three, else libFuzzer's.
pub fn mutate(name: &str, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    if seed % 3 == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    let target = bpfsmith_fuzz::targets::by_name(name).expect("a target");
    let mut bytes = data[..size].to_vec();
    let mut random = bpfsmith_fuzz::random::Random::new(u64::from(seed));
    (target.mutate)(&mut bytes, &mut random, &[]);
    bytes.truncate(most);
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}
