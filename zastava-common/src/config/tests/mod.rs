mod admission;
mod advisory;
mod bounds;
mod errors;
mod files;
mod written;

use super::{Config, parse};

/// The error's own words.
fn error(text: &str) -> String {
    match parse("zastava.yaml", text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

fn accepted(text: &str) -> Config {
    parse("zastava.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}
