//! A registry, read: bounded, guarded, and never more than asked for.

mod config;
mod credentials;

pub use self::{
    config::{BadRegistry, Endpoint, Registry, RegistryConfig},
    credentials::{BadPullSecret, Credentials, PullSecrets},
};
