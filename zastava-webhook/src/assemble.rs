//! From a configuration file to what answers requests, and again when the files change.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use kube::Client;
use zastava_common::{
    config::{self, Config, ConfigError},
    evidence::{Source, registry::BadRegistry},
};

use crate::{
    engine::Engine,
    gather::Gatherer,
    policy::{BackendFault, FileError, Files, Policy, PolicyError, RegistriesError, backend, registries},
    secrets::Secrets,
};

#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    #[error(transparent)]
    Registry(#[from] BadRegistry),
    #[error(transparent)]
    Backend(#[from] BackendFault),
}

/// An engine, and what it was made of.
#[derive(Debug)]
pub struct Assembled {
    pub config: Config,
    pub engine: Engine,
    read: BTreeMap<PathBuf, String>,
}

impl Assembled {
    /// Reads the configuration and every file that it names. `client`: for pull secrets, where they are read.
    pub fn load(path: &Path, files: &dyn Files, client: Option<&Client>) -> Result<Self, AssembleError> {
        Self::of(config::load(path)?, files, client, None)
    }

    /// `before`: what of it is the same stays, with what it remembers.
    fn of(
        config: Config,
        files: &dyn Files,
        client: Option<&Client>,
        before: Option<&Self>,
    ) -> Result<Self, AssembleError> {
        let policy_files = Recorder::new(files);
        let policy = Policy::compile(&config, &policy_files)?;
        let registry_files = Recorder::new(files);
        let registries = registries(&config.admission, &registry_files)?;
        let backend = backend(&config, &registry_files)?;
        let (mut read, registry_read) = (policy_files.read.into_inner(), registry_files.read.into_inner());
        let same = before.filter(|before| {
            let kept = |path: &PathBuf, text: &String| before.read.get(path) == Some(text);
            asks_alike(&config, &before.config) && registry_read.iter().all(|(path, text)| kept(path, text))
        });
        let admission = &config.admission;
        let gatherer = match same {
            Some(before) => before.engine.gatherer().clone(),
            None => Gatherer::new(
                Source::new(&registries)?,
                backend.map(|backend| (backend, config.runtime.tenant.as_str())),
                admission.cache_ttl_seconds.seconds(),
                &admission.cache,
            ),
        };
        let secrets = client.filter(|_| admission.pull_secrets).cloned().map(Secrets::new);
        let negative = admission.cache.negative_seconds.seconds();
        let engine = Engine::new(policy, gatherer, secrets, negative);
        read.extend(registry_read);
        Ok(Self { config, engine, read })
    }

    /// Reads everything anew; `None`: nothing has changed.
    pub fn again(
        &self,
        path: &Path,
        files: &dyn Files,
        client: Option<&Client>,
    ) -> Result<Option<Self>, AssembleError> {
        let config = config::load(path)?;
        let kept = |(path, text): (&PathBuf, &String)| files.read(path).is_ok_and(|now| now == *text);
        if config == self.config && self.read.iter().all(kept) {
            return Ok(None);
        }
        Self::of(config, files, client, Some(self)).map(Some)
    }
}

/// Whether both would ask registries and the backend in the same way, and remember as long.
fn asks_alike(one: &Config, other: &Config) -> bool {
    let parts = |config: &Config| {
        let admission = &config.admission;
        (
            (admission.registries.clone(), admission.private_hosts.clone()),
            (admission.cache, admission.cache_ttl_seconds),
            (config.backend.clone(), config.runtime.authority.clone(), config.runtime.tenant.clone()),
        )
    };
    parts(one) == parts(other)
}

/// Keeps what was read.
struct Recorder<'a> {
    files: &'a dyn Files,
    read: RefCell<BTreeMap<PathBuf, String>>,
}

impl<'a> Recorder<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Self { files, read: RefCell::default() }
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path) -> Result<String, FileError> {
        let text = self.files.read(path)?;
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    }
}
