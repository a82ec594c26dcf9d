//! Numbers that carry their range in their type.

use std::{borrow::Cow, fmt, marker::PhantomData, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Unexpected, Visitor},
};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// `None` outside the range.
    pub const fn new(value: u64) -> Option<Self> {
        if MIN <= value && value <= MAX { Some(Self(value)) } else { None }
    }

    /// A number known when the program is compiled, which fails where it is out of range.
    pub const fn literal<const VALUE: u64>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX, "out of range") }
        Self(VALUE)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a capacity.
    pub fn entries(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0)
    }

    pub const fn milliseconds(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// The size of a ring buffer in bytes: a power of two from 4,096 to 1 GiB, as the kernel asks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RingBytes(u32);

impl RingBytes {
    pub const MIN: u32 = 4096;
    pub const MAX: u32 = 1 << 30;

    /// `None` outside the range, and for what is no power of two.
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && Self::MIN <= bytes && bytes <= Self::MAX {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// 2 to the power of `EXPONENT` bytes.
    pub const fn power<const EXPONENT: u32>() -> Self {
        const { assert!(12 <= EXPONENT && EXPONENT <= 30, "out of range") }
        Self(1 << EXPONENT)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What both kinds of number have in common for serde.
trait Number: Sized {
    fn from_u64(value: u64) -> Option<Self>;
    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<const MIN: u64, const MAX: u64> Number for Bounded<MIN, MAX> {
    fn from_u64(value: u64) -> Option<Self> {
        Self::new(value)
    }

    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }
}

impl Number for RingBytes {
    fn from_u64(value: u64) -> Option<Self> {
        Self::new(u32::try_from(value).ok()?)
    }

    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a power of two from {} to {}", Self::MIN, Self::MAX)
    }
}

struct NumberVisitor<N>(PhantomData<N>);

impl<N: Number> Visitor<'_> for NumberVisitor<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        N::allowed(f)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<N, E> {
        N::from_u64(value).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<N, E> {
        u64::try_from(value)
            .ok()
            .and_then(N::from_u64)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for RingBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("WholeNumber{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl JsonSchema for RingBytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RingBytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let powers: Vec<u32> = (12..=30).map(|exponent| 1 << exponent).collect();
        json_schema!({ "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX, "enum": powers })
    }
}
