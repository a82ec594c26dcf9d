use std::collections::BTreeSet;

use zastava_common::{
    config::{self, Admission, RegistryHost},
    evidence::{
        Source,
        reference::Host,
        registry::{BadRegistry, Credentials, Endpoint, Registry, RegistryConfig},
    },
};

use super::{
    Cause, Files, Unusable,
    files::{certificates, word},
};

const HERE: &str = "zastava.admission.registries";

/// How registries are spoken to; reads the certificates and credentials that the configuration names.
pub fn registries(admission: &Admission, files: &dyn Files) -> Result<RegistryConfig, Unusable> {
    let known = &admission.registries;
    let mut registries = Vec::new();
    for (at, entry) in known.iter().enumerate() {
        let here = format!("{HERE}[{at}]");
        let mut endpoints = Vec::new();
        for (place, mirror) in entry.mirrors.iter().enumerate() {
            let bad = || Cause::Mirror.at(format!("{here}.mirrors[{place}]"));
            let (name, path) = mirror.parts();
            let own = known.iter().enumerate().find(|(_, entry)| entry.host.as_str() == name);
            let endpoint = match own {
                Some((at, entry)) => endpoint(entry, &format!("{HERE}[{at}]"), files)?,
                None => Endpoint::new(name.parse().map_err(|_| bad())?),
            };
            let prefix = path.map(str::parse).transpose().map_err(|_| bad())?;
            endpoints.push(Endpoint { prefix, ..endpoint });
        }
        // The registry itself is the last that is asked.
        endpoints.push(endpoint(entry, &here, files)?);
        registries.push(Registry { host: host(&entry.host, || format!("{here}.host"))?, endpoints });
    }
    Ok(RegistryConfig {
        registries,
        private_hosts: hosts(&admission.private_hosts, "zastava.admission.privateHosts")?,
        ..RegistryConfig::default()
    })
}

/// Who asks them.
pub fn asked(admission: &Admission, registries: &RegistryConfig) -> Result<Source, Unusable> {
    Source::new(registries).map_err(|bad| {
        let at = |wanted: &Host| {
            // A second entry is the one that is wrong.
            let same = |entry: &config::Registry| {
                entry.host.as_str().parse().is_ok_and(|host: Host| host == *wanted)
            };
            let place = admission.registries.iter().rposition(same);
            place.map_or_else(|| HERE.to_owned(), |at| format!("{HERE}[{at}]"))
        };
        match bad {
            BadRegistry::Twice { host } => Cause::Twice.at(format!("{}.host", at(&host))),
            BadRegistry::Authority { host, cause } => Cause::Tls(cause).at(format!("{}.caFile", at(&host))),
            BadRegistry::Tls(cause) => Cause::Tls(cause).at(HERE),
        }
    })
}

/// `here`: the entry's key.
fn endpoint(entry: &config::Registry, here: &str, files: &dyn Files) -> Result<Endpoint, Unusable> {
    let config::Registry {
        host: name,
        ca_file,
        username_file,
        password_file,
        token_hosts,
        plain_http,
        private,
        ..
    } = entry;
    let authorities = match ca_file {
        None => Vec::new(),
        Some(path) => certificates(path, files).map_err(|cause| cause.at(format!("{here}.caFile")))?,
    };
    let credentials = match (username_file, password_file) {
        (Some(username), Some(password)) => Some(Credentials {
            username: word(username, files).map_err(|cause| cause.at(format!("{here}.usernameFile")))?,
            password: word(password, files).map_err(|cause| cause.at(format!("{here}.passwordFile")))?,
        }),
        _ => None,
    };
    Ok(Endpoint {
        plain_http: *plain_http,
        private: *private,
        authorities,
        credentials,
        token_hosts: hosts(token_hosts, &format!("{here}.tokenHosts"))?,
        ..Endpoint::new(host(name, || format!("{here}.host"))?)
    })
}

fn hosts(names: &[RegistryHost], here: &str) -> Result<BTreeSet<Host>, Unusable> {
    names.iter().enumerate().map(|(at, name)| host(name, || format!("{here}[{at}]"))).collect()
}

fn host(name: &RegistryHost, key: impl FnOnce() -> String) -> Result<Host, Unusable> {
    name.as_str().parse().map_err(|_| Cause::Host.at(key()))
}
