mod decode;
mod host;
mod judge;
mod mounts;
mod uring;
