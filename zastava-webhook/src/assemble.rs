//! From a configuration file to what answers requests, and again when the files change.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use kube::Client;
use zastava_common::config::{Config, ConfigError, Written};

use crate::{
    engine::Engine,
    gather::Gatherer,
    policy::{FileError, Files, Policy, Unusable, asked, backend, registries},
    secrets::Secrets,
};

/// An engine, and what it was made of.
#[derive(Debug)]
pub struct Assembled {
    pub config: Config,
    pub engine: Engine,
    read: BTreeMap<PathBuf, String>,
}

impl Assembled {
    /// Reads the configuration and every file that it names. `client`: for pull secrets, where they are read.
    pub fn load(path: &Path, files: &dyn Files, client: Option<&Client>) -> Result<Self, ConfigError> {
        let written = Written::read(path)?;
        let unusable = |error: Unusable| written.invalid(error.fault());
        Self::of(written.parse()?, files, client, None).map_err(unusable)
    }

    /// `before`: what of it is the same stays, with what it remembers.
    fn of(
        config: Config,
        files: &dyn Files,
        client: Option<&Client>,
        before: Option<&Self>,
    ) -> Result<Self, Unusable> {
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
        let gatherer = if let Some(before) = same {
            before.engine.gatherer().clone()
        } else {
            let gatherer = Gatherer::new(
                asked(admission, &registries)?,
                backend.map(|backend| (backend, config.runtime.tenant.as_str())),
                admission.cache_ttl_seconds.seconds(),
                &admission.cache,
            );
            match before {
                Some(before) => gatherer.succeeding(before.engine.gatherer()),
                None => gatherer,
            }
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
    ) -> Result<Option<Self>, ConfigError> {
        let written = Written::read(path)?;
        let config = written.parse()?;
        let kept = |(path, text): (&PathBuf, &String)| files.read(path).is_ok_and(|now| now == *text);
        if config == self.config && self.read.iter().all(kept) {
            return Ok(None);
        }
        let other = Self::of(config, files, client, Some(self));
        other.map(Some).map_err(|error| written.invalid(error.fault()))
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

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc, time::Instant};

    use zastava_common::evidence::registry::PullSecrets;

    use super::*;
    use crate::{gather::Question, policy::Disk};

    #[tokio::test]
    async fn requests_are_counted_on_when_registries_are_asked_in_another_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zastava.yaml");
        let write = |seconds: u32| {
            let verify = "{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}";
            let admission = format!("{{verify: {verify}, cacheTtlSeconds: {seconds}}}");
            fs::write(&path, format!("zastava: {{admission: {admission}}}")).unwrap();
        };
        // No registry is asked inside, which counts all the same.
        let ask = async |assembled: &Assembled| {
            let rules = Arc::clone(assembled.engine.policy().rules("shop"));
            let question = Question {
                namespace: "shop".to_owned(),
                labels: Arc::default(),
                secrets: Arc::new(PullSecrets::default()),
                deadline: Instant::now() + std::time::Duration::from_secs(30),
                max_age: None,
            };
            let image = "127.0.0.1:9/app:1".parse().unwrap();
            let _ = assembled.engine.gatherer().gather(&[image], &rules, &question).await;
        };
        let count = |assembled: &Assembled| -> Vec<u64> {
            assembled.engine.gatherer().requests().iter().map(|request| request.count).collect()
        };
        write(300);
        let first = Assembled::load(&path, &Disk, None).unwrap();
        ask(&first).await;
        assert_eq!(count(&first), [1]);
        write(100);
        let second = first.again(&path, &Disk, None).unwrap().expect("it has changed");
        assert_eq!(count(&second), [1]);
        ask(&second).await;
        assert_eq!(count(&second), [2]);
    }
}
