//! eBPF instructions: decode, encode, disassemble, assemble, and what follows from them (CFG, calls, stack).
