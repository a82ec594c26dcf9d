//! What the tests and the benchmark of the whole program are made of.
#![allow(dead_code, unused_imports, reason = "tests and benchmark use different parts")]

mod api;
mod client;
mod registry;
mod webhook;

pub(crate) use api::Api;
pub(crate) use client::{Client, Sender, Stream, ask, review, review_of, send, stream};
pub(crate) use registry::{Mood, Registry, made};
pub(crate) use webhook::{Webhook, config, config_of, made_here, webhook_program};
