//! `demo`: shows a part of Zastava at work, with real parts around it.

mod registry;
mod webhook;

use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Args)]
pub(crate) struct Options {
    /// What is shown
    #[arg(value_enum)]
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A registry with a signed and an unsigned image, the webhook, and its answers; no cluster needed
    Webhook,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { part: Part::Webhook } = options;
    webhook::run(&["--package", "zastava-webhook"])
}

/// The demonstration is a test too: it fails where an answer is not as it should be.
pub(crate) fn webhook() -> Result<()> {
    // As the other end-to-end tests build, so that nothing is built twice.
    webhook::run(&["--workspace", "--bins"])
}
