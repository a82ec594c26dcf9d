//! The ways into the kernel: BPF programs, perf and fanotify. The only room with `unsafe` and aya.

pub mod btf;
pub mod decode;
pub mod hooks;
pub mod layout;
pub mod load;
mod object;
pub mod perf;
pub mod record;
pub mod sys;
