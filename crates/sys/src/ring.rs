//! Consumers of ring buffers and perf buffers.
