//! The ways into the kernel: BPF programs, perf and fanotify. The only room with `unsafe` and aya.

pub mod record;
