//! The JSON form of an event: one object per line, the advisory's envelope (section 4.2).

mod name;
pub mod timestamp;

pub use name::Name;

use super::v1::Event;

/// Bytes of one event's JSON: what a gRPC message may have by default (4 MiB), as no event should need more here
/// than there.
pub const MAX_JSON: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("an event of {len} bytes: at most {MAX_JSON} are written or read")]
    TooLong { len: usize },
    #[error("an event has no JSON form, or the JSON is no event: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Appends the event's JSON and a newline. On an error the buffer is as before.
pub fn to_json_line(event: &Event, line: &mut Vec<u8>) -> Result<(), JsonError> {
    let begin = line.len();
    let written = serde_json::to_writer(&mut *line, event);
    let len = line.len() - begin;
    if len > MAX_JSON || written.is_err() {
        line.truncate(begin);
    }
    written?;
    if len > MAX_JSON {
        return Err(JsonError::TooLong { len });
    }
    line.push(b'\n');
    Ok(())
}

/// Reads an event, with or without a newline behind it. Fields of a later version are passed over.
pub fn from_json(json: &[u8]) -> Result<Event, JsonError> {
    if json.len() > MAX_JSON {
        return Err(JsonError::TooLong { len: json.len() });
    }
    Ok(serde_json::from_slice(json)?)
}

/// Whether a field is left out: proto3 cannot tell an empty value from an absent one, and `optional` fields are
/// `None` when absent.
pub(crate) fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
