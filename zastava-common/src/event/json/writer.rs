//! A serializer for what events are made of, as they are written on every exec and exit of the machine.
//!
//! It takes less than half of the instructions of serde_json's, which looks at each byte of each key and value by itself:
//! here keys are known to need no escapes, and values are looked at sixteen bytes at a time. What does need escapes
//! goes to serde_json.

use std::fmt::Display;

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};

/// Why a value was not written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unwritable(String);

impl ser::Error for Unwritable {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

/// Appends JSON to a buffer.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn integer(self, number: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// The inside of an object or an array.
pub(super) struct Inside<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    close: u8,
}

impl<'a> Inside<'a> {
    fn open(out: &'a mut Vec<u8>, open: u8, close: u8) -> Self {
        out.push(open);
        Self { out, empty: true, close }
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    fn close(self) {
        self.out.push(self.close);
    }
}

/// Events hold none of these.
macro_rules! refuse {
    ($($name:ident($($argument:ty),*) -> $ok:ty;)+) => {
        $(fn $name(self, $(_: $argument),*) -> Result<$ok, Unwritable> {
            Err(ser::Error::custom(concat!("an event holds nothing for ", stringify!($name))))
        })+
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Impossible<(), Unwritable>;
    type SerializeTupleStruct = Impossible<(), Unwritable>;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unwritable> {
        self.integer(value);
        Ok(())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unwritable> {
        self.integer(value);
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unwritable> {
        self.integer(value);
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        if needs_escapes(value.as_bytes()) {
            return serde_json::to_writer(self.out, value).map_err(ser::Error::custom);
        }
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    /// Names of enum values are identifiers.
    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), Unwritable> {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, Unwritable> {
        Ok(Inside::open(self.out, b'[', b']'))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>, Unwritable> {
        Ok(Inside::open(self.out, b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Unwritable> {
        Ok(Inside::open(self.out, b'{', b'}'))
    }

    refuse! {
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unwritable> {
        Err(ser::Error::custom("an event holds no variant with a value"))
    }
}

impl ser::SerializeStruct for Inside<'_> {
    type Ok = ();
    type Error = Unwritable;

    /// Names of fields are identifiers.
    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeSeq for Inside<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.comma();
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.comma();
        key.serialize(Writer { out: self.out })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.out.push(b':');
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

/// Whether there is a control character, a quote or a backslash (RFC 8259 section 7).
fn needs_escapes(text: &[u8]) -> bool {
    // The last chunk overlaps the one before: no rest is left.
    if let Some(last) = text.last_chunk::<16>() {
        any_of(last) || text.as_chunks::<16>().0.iter().any(any_of)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        any_of(first) || any_of(last)
    } else {
        text.iter().any(|byte| escape(*byte) != 0)
    }
}

/// Looks at all bytes at once: without branches this compiles to a few vector instructions.
fn any_of<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(0, |found, byte| found | escape(*byte)) != 0
}

/// 1 for a byte that needs an escape.
fn escape(byte: u8) -> u8 {
    u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_at_every_place_is_escaped_exactly_when_json_wants_it() {
        for length in 1..=40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for around in [b'a', b'!', b'#', b' ', 0xc3, 0x7f] {
                        let mut text = vec![around; length];
                        text[at] = byte;
                        let expected = byte < 0x20 || byte == b'"' || byte == b'\\';
                        assert_eq!(needs_escapes(&text), expected, "{text:x?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn text_is_written_as_serde_json_writes_it(text in "\\PC*|[\\x00-\\x7f]*|.*") {
            let mut out = Vec::new();
            text.serialize(Writer { out: &mut out }).unwrap();
            prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn what_no_event_holds_is_refused() {
        let mut out = Vec::new();
        assert!(1.5_f64.serialize(Writer { out: &mut out }).is_err());
        assert!(().serialize(Writer { out: &mut out }).is_err());
        assert_eq!(out, b"");
    }
}
