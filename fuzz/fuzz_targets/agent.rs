#![no_main]
bpfsmith_libfuzzer::drive!("agent");
