//! Configuration: the YAML of the advisory (section 10), checked before use.
//!
//! A value that was read is a value that holds: numbers carry their range in their type, texts their form. A key
//! that nobody knows is an error, never ignored. Errors name file, line, column and the whole key, and say what is
//! allowed there. They repeat keys, numbers and the word given where one of a few is asked for; any other text is not
//! repeated, since it may be a secret in the wrong place.

mod admission;
mod backend;
mod error;
mod explain;
mod image;
mod limits;
mod load;
mod locate;
mod nearest;
mod number;
mod root;
mod runtime;
mod schema;
mod sensor;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Deserializer};

pub use admission::{
    Admission, BaseImages, BaseProof, Cache, Controllers, Key, Keyless, MoreVerify, NamespaceRules, Need,
    Registry, SbomLevel, SbomRule, Server, SignatureRule, TagRules, Verifiers, Verify,
};
pub use backend::Backend;
pub use error::{ConfigError, Fault, What};
pub use image::{
    ImageAtDigest, Label, MirrorPlace, PublicKeySource, RegistryHost, RepositoryPattern, SubjectText,
    TagPattern,
};
pub use limits::Limits;
pub use load::{MAX_FILE_BYTES, Written, load, parse};
pub use number::{Bounded, RingBytes};
pub use root::{Config, Mode};
pub use runtime::{Authority, Collect, Engine, Runtime};
pub use schema::schema;
pub use sensor::{Containers, Rings, Sensor, TierChoice};
pub use text::{
    AbsolutePath, ApiPath, BaseAddress, LabelKeys, ListenAddress, Namespace, NotAllowed, SocketPath, Tenant,
    Token,
};

/// An optional section is left out or has its keys; one with nothing in it is an error like any other.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
