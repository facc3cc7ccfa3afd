//! `cargo run --release --example facts -- FILE..`: time and size of the facts of these files, read as one batch.

fn main() -> std::io::Result<()> {
    let texts = std::env::args_os()
        .skip(1)
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()?;
    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let bytes: usize = slices.iter().map(|text| text.len()).sum();
    for threads in [1, 0] {
        let clock = std::time::Instant::now();
        let facts = bpfsmith_source::facts_json_many(&slices, threads);
        let out: usize = facts.iter().map(Vec::len).sum();
        println!(
            "{} files, {bytes} bytes -> {out} bytes of facts, {threads} threads: {:?}",
            slices.len(),
            clock.elapsed()
        );
    }
    Ok(())
}
