//! Where in a file a key stands: for faults that are found when everything was read.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Options};

/// The place of `key` (`zastava.admission.namespaces[0].names`), or of what is nearest above it.
pub(super) fn locate(text: &str, key: &str, options: &Options) -> Location {
    let steps: Vec<Step<'_>> = key.split('.').flat_map(steps).collect();
    // The last steps may be of what was left out.
    for depth in (1..=steps.len()).rev() {
        let found =
            serde_saphyr::with_deserializer_from_str_with_options(text, options.clone(), |deserializer| {
                Walk(&steps[..depth]).deserialize(deserializer)
            });
        if let Err(error) = found {
            return error.location().unwrap_or(Location::UNKNOWN);
        }
    }
    Location::UNKNOWN
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// `names[1]` is a key and an index.
fn steps(part: &str) -> Vec<Step<'_>> {
    let (name, index) = match part.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
        None => (part, None),
    };
    [Step::Key(name)].into_iter().chain(index.map(Step::Index)).collect()
}

/// Goes to the last step and fails there, so that the reader says where it was.
struct Walk<'a>(&'a [Step<'a>]);

impl Walk<'_> {
    fn arrived<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom("here")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what stands there")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.arrived()?;
        let (wanted, rest) = match self.0 {
            [Step::Key(wanted), rest @ ..] => (Some(*wanted), rest),
            _ => (None, self.0),
        };
        while let Some(found) = map.next_key_seed(Name { wanted, is_last: rest.is_empty() })? {
            if found {
                map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.arrived()?;
        for at in 0.. {
            let more = match self.0 {
                [Step::Index(wanted), rest @ ..] if at == *wanted => {
                    list.next_element_seed(Walk(rest))?.is_some()
                }
                _ => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.arrived()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.arrived()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.arrived()
    }
}

/// Whether a key is the wanted one. The last one fails itself, for its place is nearer than that of its value.
#[derive(Clone, Copy)]
struct Name<'a> {
    wanted: Option<&'a str>,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match self.wanted {
            Some(wanted) if key == wanted && self.is_last => Err(E::custom("here")),
            wanted => Ok(wanted == Some(key)),
        }
    }
}
