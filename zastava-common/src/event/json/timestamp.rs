//! Times as RFC 3339 in UTC, with as many digits behind the second as it takes.

use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use prost_types::Timestamp;
use serde::{Deserializer, Serializer, de, ser};

static PRINTER: DateTimePrinter = DateTimePrinter::new();

pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(time) = time else {
        return serializer.serialize_none();
    };
    let time = jiff::Timestamp::new(time.seconds, time.nanos)
        .map_err(|_| ser::Error::custom("a time before year -9999 or after 9999"))?;
    serializer.serialize_str(&PRINTER.timestamp_to_string(&time))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_str(Rfc3339).map(Some)
}

struct Rfc3339;

impl de::Visitor<'_> for Rfc3339 {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as in RFC 3339")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        // Protobuf counts nanoseconds forward, also before 1970.
        Ok(Timestamp {
            seconds: time.as_nanosecond().div_euclid(1_000_000_000) as i64,
            nanos: time.as_nanosecond().rem_euclid(1_000_000_000) as i32,
        })
    }
}
