//! CO-RE: relocating instructions against the types of another kernel, by libbpf's rules.
