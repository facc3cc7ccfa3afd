//! eBPF ELF objects: programs, maps, globals, linked instructions.
