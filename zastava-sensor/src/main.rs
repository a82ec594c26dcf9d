//! The sensor's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    zastava_sensor::cli::main()
}
