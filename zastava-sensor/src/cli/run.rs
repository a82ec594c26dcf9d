//! `zastava-sensor run`: the arguments, and what they come to with the configuration.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use zastava_common::config::{self, Config, ConfigError, ListenAddress, SocketPath, TierChoice};

use super::{duration::Span, log};
use crate::deliver::{Format, KindSet, Named, Output, OutputError};

/// Observe this machine until Ctrl-C or SIGTERM.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RunArgs {
    /// Configuration; without it every setting has its default. Arguments go before it
    #[arg(long, value_name = "FILE", env = "ZASTAVA_CONFIG")]
    config: Option<PathBuf>,
    /// What becomes of events: readable lines, the JSON envelope one per line, or nothing (watchers still get them)
    #[arg(long, value_name = "FORM", default_value = "pretty")]
    output: OutputChoice,
    /// Append the lines to a file instead of writing them to the standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Write these kinds alone; watchers choose for themselves
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Named>,
    /// End after this time: 500ms, 10s, 5m, 2h
    #[arg(long = "for", value_name = "DURATION")]
    limit: Option<Span>,
    /// Use this tier and no other; `auto` takes the best that works
    #[arg(long, value_parser = tier())]
    tier: Option<TierChoice>,
    /// Put the arguments of programs into events. They may hold secrets
    #[arg(long)]
    diagnostics: bool,
    /// Unix socket for `zastava-sensor watch`
    #[arg(long, value_name = "PATH")]
    socket: Option<SocketPath>,
    /// Where /metrics, /healthz and /readyz are; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_address: Option<ListenAddress>,
    /// No colours, as with the variable `NO_COLOR`
    #[arg(long)]
    no_color: bool,
}

const AFTER_HELP: &str = "\
Examples:
  zastava-sensor run                                  readable lines of everything, until Ctrl-C
  zastava-sensor run --output json --for 10s          JSON for ten seconds, then a summary on the standard error
  zastava-sensor run --kinds exec,file                programs and new executables alone
  zastava-sensor run --config /etc/zastava.yaml --output none
                                                      as a service: events go to watchers

At the end the standard error has a summary: how many events of each kind, and what was lost.";

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum OutputChoice {
    Pretty,
    Json,
    None,
}

fn tier() -> impl clap::builder::TypedValueParser<Value = TierChoice> {
    PossibleValuesParser::new(["auto", "trampoline", "kprobe", "tracepoint", "sideband"]).map(|name| {
        match name.as_str() {
            "trampoline" => TierChoice::Trampoline,
            "kprobe" => TierChoice::Kprobe,
            "tracepoint" => TierChoice::Tracepoint,
            "sideband" => TierChoice::Sideband,
            _ => TierChoice::Auto,
        }
    })
}

/// What a run of the sensor does.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// With the arguments in it: tier, socket and address are these.
    pub config: Config,
    pub limit: Option<Duration>,
    pub diagnostics: bool,
    /// Kinds that are written; watchers choose for themselves.
    pub kinds: KindSet,
    /// Unless somebody said otherwise; whether it is a terminal is asked where something is written.
    pub colour: bool,
    format: Option<Format>,
    file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("--output none writes nothing: leave out --output-file, or take another form")]
    NothingForFile,
}

impl RunArgs {
    /// Reads the configuration and puts the arguments over it.
    pub fn options(self) -> Result<RunOptions, OptionsError> {
        let Self {
            config,
            output,
            output_file,
            kinds,
            limit,
            tier,
            diagnostics,
            socket,
            metrics_address,
            no_color,
        } = self;
        if output == OutputChoice::None && output_file.is_some() {
            return Err(OptionsError::NothingForFile);
        }
        let mut config = config.map_or_else(|| Ok(Config::default()), |file| config::load(&file))?;
        let sensor = &mut config.sensor;
        sensor.tier = tier.unwrap_or(sensor.tier);
        if let Some(socket) = socket {
            sensor.watch_socket = socket;
        }
        if let Some(address) = metrics_address {
            sensor.metrics_address = address;
        }
        Ok(RunOptions {
            config,
            limit: limit.map(|Span(limit)| limit),
            diagnostics,
            kinds: kinds.into_iter().map(|Named(kind)| kind).collect(),
            colour: log::colour(no_color),
            format: match output {
                OutputChoice::Pretty => Some(Format::Pretty),
                OutputChoice::Json => Some(Format::Json),
                OutputChoice::None => None,
            },
            file: output_file,
        })
    }
}

impl RunOptions {
    /// Opens what events are written to; `None`: nothing is written.
    pub fn output(&self) -> Result<Option<Output>, OutputError> {
        self.format
            .map(|format| match &self.file {
                Some(file) => Output::file(format, file),
                None => Output::stdout(format, self.colour),
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use zastava_common::event::v1::event::Kind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn options(line: &str) -> Result<RunOptions, OptionsError> {
        Cli::try_parse_from(["run"].into_iter().chain(line.split_whitespace())).unwrap().run.options()
    }

    #[test]
    fn examples_in_the_help_are_accepted() {
        for line in AFTER_HELP.lines().filter_map(|line| line.strip_prefix("  zastava-sensor run")) {
            let example = line.split("  ").next().unwrap();
            Cli::try_parse_from(["run"].into_iter().chain(example.split_whitespace())).unwrap();
        }
    }

    #[test]
    fn without_arguments_everything_has_its_default() {
        let options = options("").unwrap();
        assert_eq!(options.config, Config::default());
        assert!(options.kinds.has(Kind::Listen));
        assert_eq!((options.limit, options.diagnostics, options.format), (None, false, Some(Format::Pretty)));
    }

    #[test]
    fn arguments_go_before_the_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let yaml = "zastava: {sensor: {tier: sideband, watchSocket: /run/a.sock, watchQueue: 7}}\n";
        fs::write(file.path(), yaml).unwrap();
        let config = format!("--config {}", file.path().display());
        let from_file = options(&config).unwrap().config.sensor;
        assert_eq!(from_file.tier, TierChoice::Sideband);
        let merged = options(&format!(
            "{config} --tier kprobe --socket /run/b.sock --metrics-address [::1]:0 --for 10s --kinds exec,LOSS"
        ))
        .unwrap();
        let sensor = merged.config.sensor;
        assert_eq!(sensor.tier, TierChoice::Kprobe);
        assert_eq!(sensor.watch_socket.as_path().to_str(), Some("/run/b.sock"));
        assert_eq!(sensor.metrics_address.get().to_string(), "[::1]:0");
        assert_eq!(sensor.watch_queue.get(), 7);
        assert_eq!(merged.limit, Some(Duration::from_secs(10)));
        assert!(merged.kinds.has(Kind::Loss) && !merged.kinds.has(Kind::Listen));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(matches!(options("--output none --output-file x"), Err(OptionsError::NothingForFile)));
        assert!(matches!(options("--config /nonexistent.yaml"), Err(OptionsError::Config(_))));
        for line in
            ["--for 10", "--kinds exec,bogus", "--tier best", "--metrics-address here", "--socket relative"]
        {
            let arguments = ["run"].into_iter().chain(line.split_whitespace());
            assert!(Cli::try_parse_from(arguments).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_for_a_file_are_not_written_to_the_standard_output() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("events");
        assert!(options(&format!("--output-file {}", file.display())).unwrap().output().unwrap().is_some());
        assert!(file.exists());
        assert!(options("--output none").unwrap().output().unwrap().is_none());
    }
}
