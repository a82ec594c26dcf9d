//! `zastava-sensor config`: what may stand in the configuration, and whether it does.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use zastava_common::config::{self, ConfigError};

/// Print the configuration's schema, or check a file.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Say whether a file can be used, and if not, where and why
    Check {
        /// A YAML file; deploy/zastava.example.yaml shows every key
        file: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigCommandError {
    /// Not to be used: exit code 2, as `run` ends with it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl ConfigCommand {
    /// Writes the answer; what is wrong with a file is the error.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), ConfigCommandError> {
        match &self.action {
            Action::Schema => writeln!(out, "{:#}", config::schema())?,
            Action::Check { file } => {
                config::load(file)?;
                writeln!(out, "{}: valid", file.display())?;
            }
        }
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Parser, error::ErrorKind};

    use super::{ConfigCommand, ConfigCommandError};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigCommand,
    }

    fn run(arguments: &[&str]) -> (String, Result<(), ConfigCommandError>) {
        let cli = Cli::try_parse_from([&["config"], arguments].concat()).unwrap();
        let mut out = Vec::new();
        let result = cli.config.run(&mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    fn deployed(file: &str) -> String {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file).display().to_string()
    }

    #[test]
    fn the_schema_is_printed_as_it_stands_under_deploy() {
        let (out, result) = run(&["schema"]);

        assert!(result.is_ok());
        assert_eq!(out, std::fs::read_to_string(deployed("config.schema.json")).unwrap());
    }

    #[test]
    fn a_valid_file_is_called_valid() {
        let example = deployed("zastava.example.yaml");
        let (out, result) = run(&["check", &example]);

        assert!(result.is_ok());
        assert_eq!(out, format!("{example}: valid\n"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_the_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "zastava: {sensor: {teir: auto}}\n").unwrap();
        let (out, result) = run(&["check", &file.path().display().to_string()]);

        assert_eq!(out, "");
        let error = result.unwrap_err();
        assert!(matches!(error, ConfigCommandError::Config(_)));
        assert!(error.to_string().contains("did you mean `tier`?"), "{error}");
    }

    #[test]
    fn a_subcommand_is_asked_for() {
        let error = Cli::try_parse_from(["config"]).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    }
}
