//! The guest agent and the keeper: see the library.
use std::ffi::OsString;

use bpfsmith_agent::{init, keep};

fn main() {
    let mut words = std::env::args_os();
    let own = words.next().unwrap_or_default();
    if init::is_first() || own.to_string_lossy().ends_with("/init") {
        init::run();
    }
    let mode = words.next();
    let status = match mode.as_ref().and_then(|mode| mode.to_str()) {
        Some("init") => init::run(),
        Some("keep") => keep::run(words),
        Some("serve") => serve(words.next()),
        _ => {
            eprintln!(
                "bpfsmith-agent: `init` (in a guest), `keep -- COMMAND...` (on the host), `serve FD`"
            );
            2
        }
    };
    std::process::exit(status);
}

fn serve(fd: Option<OsString>) -> i32 {
    match fd.and_then(|fd| fd.to_str()?.parse().ok()) {
        Some(fd) => init::alone(fd),
        None => 2,
    }
}
