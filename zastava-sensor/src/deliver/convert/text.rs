//! Text without the formatting machinery, which costs several times the work itself.

use std::path::Path;

use serde::Serialize;
use uuid::Uuid;
use zastava_common::event::json::json_len;

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(HEX[usize::from(nibble)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

pub(super) fn uuid(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

pub(super) fn push_decimal(text: &mut String, number: u32) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(HEX[(number % 10) as usize]));
}

/// Lossy UTF-8.
pub(super) fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Those that take at most so many bytes of JSON together, and how many others there are.
pub(super) fn within<T: Serialize>(parts: impl Iterator<Item = T>, most: usize) -> (Vec<T>, u32) {
    let (mut kept, mut left_out, mut room) = (Vec::new(), 0, most);
    for part in parts {
        match json_len(&part).ok().and_then(|len| room.checked_sub(len)) {
            Some(rest) => {
                room = rest;
                kept.push(part);
            }
            None => left_out += 1,
        }
    }
    (kept, left_out)
}

/// No reason is an absent field.
pub(super) fn reason(reason: Option<&'static str>) -> String {
    reason.unwrap_or_default().to_owned()
}
