//! What both sides of a boundary share.
//!
//! [`abi`] is `no_std` and shared with the kernel programs; the rest stands behind the feature `std`, and what
//! reads registries and speaks with the backend behind features of its own.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod abi;
#[cfg(feature = "backend")]
pub mod backend;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod event;
#[cfg(feature = "evidence")]
pub mod evidence;
#[cfg(feature = "std")]
pub mod metric;
#[cfg(any(feature = "backend", feature = "evidence"))]
#[cfg_attr(not(feature = "evidence"), allow(dead_code, reason = "the backend needs no guard"))]
mod net;
