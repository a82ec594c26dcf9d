//! From the YAML reader's errors to ours: the whole key, what is allowed, what was meant.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use serde_saphyr::{Error, Location, MessageFormatter as _, UserMessageFormatter};

use super::{Fault, What, nearest::nearest, schema};

/// Longest piece of the file that an error repeats, in characters.
const LONGEST: usize = 64;

/// Where it is, and what.
pub(super) fn explain(error: &Error, path: &Path) -> (Location, Fault) {
    if let Error::AliasError { error, locations, .. } = error {
        let (inside, fault) = explain(error, path);
        return (locations.primary_location().unwrap_or(inside), fault);
    }
    let location = error.location().unwrap_or(Location::UNKNOWN);
    (location, fault(error, path))
}

fn fault(error: &Error, path: &Path) -> Fault {
    let here = dotted(path);
    match error {
        Error::Eof { .. } if here.is_empty() => {
            Fault::new(here, What::Empty).allowed("the key zastava with its sections")
        }
        Error::SerdeUnknownField { field, expected, .. } => Fault {
            meant: nearest(field, expected).map(str::to_owned),
            belongs: sections_with(field),
            // The path ends with the key already.
            ..Fault::new(here, What::UnknownKey).allowed(list(expected))
        },
        Error::SerdeMissingField { field, .. } => Fault::new(below(here, field), What::MissingKey),
        Error::DuplicateMappingKey { key: Some(key), .. } => Fault::new(below(here, key), What::RepeatedKey),
        Error::SerdeUnknownVariant { variant, expected, .. } => Fault {
            meant: nearest(variant, expected).map(str::to_owned),
            ..Fault::new(here, What::NotAllowed { found: word(variant) }).allowed(list(expected))
        },
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            Fault::new(here, What::WrongType { found: kind(unexpected) }).allowed(expected)
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            Fault::new(here, What::NotAllowed { found: kind(unexpected) }).allowed(expected)
        }
        Error::InvalidBooleanStrict { .. } => {
            wrong_type(here, "neither true nor false").allowed("true or false")
        }
        Error::Unexpected { expected: "mapping start", .. } => wrong_type(here, "no section")
            .allowed("keys, each with its value; leave the section out to have its defaults"),
        Error::Unexpected { expected: "sequence start", .. } => {
            wrong_type(here, "no list").allowed("a list, such as [one, two]")
        }
        Error::Unexpected { expected: "string scalar", .. }
        | Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
        | Error::UnexpectedValueForUnitEnumVariant { .. } => {
            wrong_type(here, "a list or a section").allowed("a single word")
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Fault::new(here, What::TooMuch),
        other => Fault::new(here, What::Syntax(plain(&UserMessageFormatter.format_message(other)))),
    }
}

fn wrong_type(key: String, found: &str) -> Fault {
    Fault::new(key, What::WrongType { found: found.to_owned() })
}

/// What stood there, as serde describes it, without any text of the file.
fn kind(unexpected: &str) -> String {
    let number = ["integer `", "floating point `", "boolean `"]
        .iter()
        .find_map(|kind| unexpected.strip_prefix(kind)?.strip_suffix('`'));
    match (number, unexpected) {
        (Some(number), _) => plain(number),
        (None, "sequence") => "a list".to_owned(),
        (None, "map") => "a section".to_owned(),
        (None, "unit value") => "nothing".to_owned(),
        // Ours.
        (None, own) if own.starts_with("a ") => own.to_owned(),
        (None, _) => "a text".to_owned(),
    }
}

/// A word in the place of one of a few: no secret ever stands there.
fn word(variant: &str) -> String {
    if variant == "~" { "nothing".to_owned() } else { plain(variant) }
}

/// The sections that have a key of this name, if any.
fn sections_with(field: &str) -> Option<String> {
    fn search(schema: &Value, section: &str, field: &str, found: &mut Vec<String>) {
        let properties = schema["properties"].as_object();
        for (name, inner) in properties.into_iter().flatten() {
            if name == field {
                found.push(if section.is_empty() {
                    "the top of the file".to_owned()
                } else {
                    section.to_owned()
                });
            }
            search(inner, &below(section.to_owned(), name), field, found);
        }
    }
    let mut found = Vec::new();
    search(&schema(), "", field, &mut found);
    (!found.is_empty()).then(|| found.join(" and "))
}

fn list(words: &[&str]) -> String {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.join(", ")
}

fn dotted(path: &Path) -> String {
    let mut key = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => key = format!("{key}[{index}]"),
            Segment::Map { key: name } => key = below(key, name),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    key
}

fn below(key: String, name: &str) -> String {
    if key.is_empty() { plain(name) } else { key + "." + &plain(name) }
}

/// Fit for a terminal: no control characters, not long.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            '\'' | '"' => plain.push(character),
            other => plain.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        plain.push_str("...");
    }
    plain
}
