//! Loops over BPF_MAP_*_BATCH.
