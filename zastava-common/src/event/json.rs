//! The JSON form of an event: one object per line, the advisory's envelope (section 4.2).

mod absent;
mod name;
pub mod timestamp;
mod writer;

pub(crate) use absent::Absent;
pub use name::Name;
pub use writer::Unwritable;

use serde::Serialize as _;

use self::writer::Writer;
use super::v1::Event;

/// Bytes of one event's JSON: what a gRPC message may have by default (4 MiB), as no event should need more here
/// than there.
pub const MAX_JSON: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("an event of {len} bytes: at most {MAX_JSON} are written or read")]
    TooLong { len: usize },
    #[error("cannot write an event as JSON: {0}")]
    Unwritable(#[from] Unwritable),
    #[error("cannot read an event from JSON: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Appends the event's JSON and a newline. On an error the buffer is as before.
pub fn to_json_line(event: &Event, line: &mut Vec<u8>) -> Result<(), JsonError> {
    let begin = line.len();
    let written = event.serialize(Writer { out: line });
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

/// Bytes of a part of an event in its JSON.
pub fn json_len(part: &impl serde::Serialize) -> Result<usize, Unwritable> {
    let mut json = Vec::new();
    part.serialize(Writer { out: &mut json })?;
    Ok(json.len())
}

/// Reads an event, with or without a newline behind it. Fields of a later version are passed over.
pub fn from_json(json: &[u8]) -> Result<Event, JsonError> {
    if json.len() > MAX_JSON {
        return Err(JsonError::TooLong { len: json.len() });
    }
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests;
