//! Out of the house: JSON lines, readable lines, the Watch server.
#![forbid(unsafe_code)]
