//! The webhook's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    zastava_webhook::cli::main()
}
