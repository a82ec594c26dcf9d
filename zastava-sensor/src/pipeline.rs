//! The wiring of the stages: bounded channels, ordered shutdown.
#![forbid(unsafe_code)]
