//! `cargo run --release --example facts -- FILE..`: time to parse of these files, read as one batch.

fn main() -> std::io::Result<()> {
    let texts = std::env::args_os()
        .skip(1)
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()?;
    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let bytes: usize = slices.iter().map(|text| text.len()).sum();
    for threads in [1, 0] {
        let clock = std::time::Instant::now();
        let tables = bpfsmith_source::tables(&slices, threads);
        let out: usize = tables.iter().map(|table| table.facts.exprs.len()).sum();
        println!(
            "{} files, {bytes} bytes -> {out} expressions, {threads} threads: {:?}",
            slices.len(),
            clock.elapsed()
        );
    }
    Ok(())
}
