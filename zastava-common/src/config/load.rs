use std::{fs::File, io::Read as _, path::Path};

use serde::Deserialize as _;
use serde_path_to_error::Track;
use serde_saphyr::{Location, MergeKeyPolicy, Options};

use super::{
    Config, ConfigError, Fault, What, admission, backend, explain::explain, locate::locate, root::Document,
};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    Written::read(path)?.parse()
}

/// Reads a configuration; `name` stands in errors where a file's path would.
pub fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    Written::new(name, text).parse()
}

/// A configuration as it was written: for faults that show only when it is put to use.
#[derive(Clone, Debug)]
pub struct Written {
    name: String,
    text: String,
}

impl Written {
    /// `name` stands in errors where a file's path would.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    /// Reads a file's text, and nothing in it yet.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        if let Err(source) = read {
            return Err(ConfigError::Read { file, source });
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::TooLarge { file });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name: file, text }),
            Err(error) => Err(not_utf8(file, &error.as_bytes()[..error.utf8_error().valid_up_to()])),
        }
    }

    /// The configuration, all of whose values hold.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let Self { name, text } = self;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::TooLarge { file: name.clone() });
        }
        let mut track = Track::new();
        let document =
            serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
                Document::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
            });
        let config = document.map(|document| document.zastava).map_err(|error| {
            let (location, fault) = explain(&error, &track.path());
            self.at(location, fault)
        })?;
        admission::check(&config.admission)
            .and_then(|()| config.backend.as_ref().map_or(Ok(()), backend::check))
            .map_err(|fault| self.invalid(*fault))?;
        Ok(config)
    }

    /// The fault where its key stands, or where what is nearest above it does.
    pub fn invalid(&self, fault: Fault) -> ConfigError {
        self.at(locate(&self.text, &fault.key, &options()), fault)
    }

    fn at(&self, location: Location, fault: Fault) -> ConfigError {
        ConfigError::Invalid {
            file: self.name.clone(),
            line: location.line().max(1),
            column: location.column().max(1),
            fault: Box::new(fault),
        }
    }
}

/// Strict, and with room for a configuration only.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000,
            max_aliases: 64,
            max_anchors: 64,
            max_recorded_anchor_events: 4_096,
            max_depth: 16,
            flow_nesting_limit: 16,
            // One is read; a second one has its own error.
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4_096,
            max_replay_stack_depth: 4,
        },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn not_utf8(file: String, valid: &[u8]) -> ConfigError {
    let lines = valid.split(|byte| *byte == b'\n');
    let last = lines.clone().next_back().unwrap_or_default();
    let characters = String::from_utf8_lossy(last).chars().count();
    ConfigError::Invalid {
        file,
        line: lines.count() as u64,
        column: characters as u64 + 1,
        fault: Box::new(Fault::new(String::new(), What::NotUtf8)),
    }
}
