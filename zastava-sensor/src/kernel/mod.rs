//! The ways into the kernel: BPF programs, perf and fanotify. The only room with `unsafe` and aya.

pub mod btf;
pub mod decode;
pub mod fanotify;
pub mod hooks;
pub mod layout;
pub mod ledger;
pub mod load;
pub mod perf;
pub mod record;
pub mod rings;
pub mod settle;
pub mod source;
pub mod sys;
