//! Go, in which runtimes are written, takes `Manifests` for `manifests`, and of two the last; serde takes neither. What
//! one reads and the other does not is refused: it could be signed as one thing and run as another.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The keys of an object that are read, each with what is read of its value. Of an array it is each element's.
#[derive(Clone, Copy)]
pub(super) struct Keys(pub(super) &'static [(&'static str, Keys)]);

impl Keys {
    /// A value whose own keys are not looked at.
    pub(super) const NONE: Self = Self(&[]);
}

/// Refuses a key that Go takes for one of `keys` and that is not written as it, and one that is there twice.
pub(super) fn check(json: &[u8], keys: Keys) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    keys.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// As Go compares keys: letters without case, among them the two beyond ASCII whose small or capital letter is in it.
fn same(a: &str, b: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    a.chars().map(fold).eq(b.chars().map(fold))
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.0.is_empty() {
            return IgnoredAny::deserialize(deserializer).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some((known, inside)) = self.0.iter().find(|(known, _)| same(known, &key)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if key != *known {
                return Err(A::Error::custom(format_args!("the key {key:?} could be taken for {known:?}")));
            }
            if seen.contains(known) {
                return Err(A::Error::custom(format_args!("the key {known:?} is there twice")));
            }
            seen.push(*known);
            map.next_value_seed(*inside)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    // Whether such a value may stand here shows when it is read.

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
