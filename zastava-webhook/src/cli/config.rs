//! `zastava-webhook config`: what may stand in the configuration, whether it does, and what Kubernetes must be told.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use zastava_common::config;

use super::{FAILED, USAGE, fail};
use crate::{assemble::Assembled, manifest, policy::Disk};

/// Print the configuration's schema, check a file, or print what Kubernetes must be told.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Say whether a file and all files that it names can be used, and if not, where and why; those of
    /// `admission.server` are in the cluster and are looked at by `serve`
    Check {
        /// A YAML file; deploy/zastava.example.yaml shows every key
        file: PathBuf,
    },
    /// Print the ValidatingWebhookConfiguration for a configuration: which namespaces fail open stands in both
    Webhooks {
        /// A YAML file
        file: PathBuf,
        /// The namespace that the webhook runs in
        #[arg(long, default_value = manifest::NAMESPACE)]
        namespace: String,
    },
}

pub(super) fn run(ConfigCommand { action }: &ConfigCommand) -> ExitCode {
    let text = match action {
        Action::Schema => Ok(format!("{:#}\n", config::schema())),
        Action::Check { file } => check(file),
        Action::Webhooks { file, namespace } => config::load(file)
            .map(|config| manifest::webhooks(&config.admission, namespace))
            .map_err(|error| error.to_string()),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => return fail(USAGE, &error),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(FAILED, &format!("cannot write: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

fn check(file: &Path) -> Result<String, String> {
    let assembled = Assembled::load(file, &Disk, None).map_err(|error| error.to_string())?;
    Ok(format!("{}: valid; policy {}\n", file.display(), assembled.engine.policy().hash()))
}
