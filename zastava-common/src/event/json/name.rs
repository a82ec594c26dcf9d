use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer},
};

/// Enum values by name. A value that this version has no name for is a number, as in protobuf's own JSON mapping,
/// so that a newer sensor's events survive an older reader.
///
/// prost keeps an enum as an `i32`; `E` is the enum.
pub struct Name<E>(PhantomData<E>);

impl<E: TryFrom<i32> + Serialize> Name<E> {
    pub fn serialize<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(*value) {
            Ok(name) => name.serialize(serializer),
            Err(_) => serializer.serialize_i32(*value),
        }
    }
}

impl<'de, E: Into<i32> + Deserialize<'de>> Name<E> {
    pub fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(Self(PhantomData))
    }
}

impl<'de, E: Into<i32> + Deserialize<'de>> de::Visitor<'de> for Name<E> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name or the number of an enum value")
    }

    fn visit_str<X: de::Error>(self, name: &str) -> Result<i32, X> {
        E::deserialize(name.into_deserializer()).map(Into::into)
    }

    fn visit_u64<X: de::Error>(self, number: u64) -> Result<i32, X> {
        i32::try_from(number).map_err(|_| X::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<X: de::Error>(self, number: i64) -> Result<i32, X> {
        i32::try_from(number).map_err(|_| X::invalid_value(de::Unexpected::Signed(number), &self))
    }
}
