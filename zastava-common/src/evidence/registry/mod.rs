//! A registry, read: bounded, guarded, and never more than asked for.

mod apart;
mod budget;
pub mod challenge;
mod client;
mod config;
mod count;
mod credentials;
mod pace;
mod place;
mod read;
mod token;
mod url;

pub(crate) use self::{
    budget::{AT_ONCE, Budget},
    client::Client,
    place::ROOM_OF_ONE,
    read::{Document, Reader, Referrer},
};
pub use self::{
    config::{BadRegistry, Endpoint, Registry, RegistryConfig},
    count::RequestCount,
    credentials::{BadPullSecret, Credentials, PullSecrets},
};
