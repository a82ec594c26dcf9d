//! Logs go to the standard error; `ZASTAVA_LOG` says how much.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// As in `ZASTAVA_LOG=debug` or `ZASTAVA_LOG=warn,zastava_webhook::gather=trace`.
const VARIABLE: &str = "ZASTAVA_LOG";

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Form {
    /// One JSON object per line
    Json,
    /// For people
    Pretty,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("{VARIABLE} is no log filter ({0}); try `debug` or `warn,zastava_webhook::gather=trace`")]
    Filter(#[from] ParseError),
    #[error("{VARIABLE} is not UTF-8")]
    NotText,
}

/// Once in a process; later calls change nothing.
pub(super) fn start(form: Form, default: &str) -> Result<(), LogError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) => EnvFilter::try_new(filter)?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new(default),
        Err(std::env::VarError::NotUnicode(_)) => return Err(LogError::NotText),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Tests run several commands in one process.
    let _ = match form {
        Form::Json => {
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
        Form::Pretty => builder.with_target(false).with_ansi(false).try_init(),
    };
    Ok(())
}
