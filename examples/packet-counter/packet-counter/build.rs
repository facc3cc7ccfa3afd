//! Builds the kernel side and leaves its object in `OUT_DIR`.
//!
//! `PACKET_COUNTER_OBJECT=FILE` takes an object that was built before instead (a machine without a nightly compiler).
use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=PACKET_COUNTER_OBJECT");
    if let Some(object) = env::var_os("PACKET_COUNTER_OBJECT") {
        let to = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?).join("packet-counter");
        println!("cargo:rerun-if-changed={}", object.display());
        fs::copy(&object, &to).with_context(|| format!("cannot copy `{}`", object.display()))?;
        return Ok(());
    }
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "packet-counter-ebpf",
            root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../packet-counter-ebpf"),
            ..Default::default()
        }],
        aya_build::Toolchain::default(),
    )
}
