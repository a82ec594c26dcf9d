//! Logs go to the standard error; `ZASTAVA_LOG` says how much.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::ParseError};

/// As in `ZASTAVA_LOG=debug` or `ZASTAVA_LOG=warn,zastava_sensor::kernel=trace`.
pub const VARIABLE: &str = "ZASTAVA_LOG";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{VARIABLE} is no log filter ({0}); try `debug` or `warn,zastava_sensor::kernel=trace`")]
    Filter(#[from] ParseError),
    #[error("{VARIABLE} is not UTF-8")]
    NotText,
}

/// Once in a process; later calls change nothing.
pub fn start(colour: bool) -> Result<(), LogError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) => EnvFilter::try_new(filter)?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(std::env::VarError::NotUnicode(_)) => return Err(LogError::NotText),
    };
    // Tests run several commands in one process.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour && io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    Ok(())
}

/// Unless switched off by argument or by `NO_COLOR` (no-color.org: set and not empty).
pub fn colour(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
