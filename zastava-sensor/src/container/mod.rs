//! Where: cgroup to container.
#![forbid(unsafe_code)]
