use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use tokio::sync::Semaphore;

use super::{
    config::{BadRegistry, Endpoint, Registry, RegistryConfig},
    credentials::Credentials,
    pace::Pace,
};
use crate::{
    evidence::reference::{Host, ImageReference},
    net::{self, Guard, Http, Room},
};

/// Requests to one place that are under way at a time.
const CONCURRENT: usize = 16;

/// Bytes of answers that all registries together have in memory, until they are parsed; that takes some times as much.
const ROOM: usize = 24 << 20;

/// Of these, what one place has at most, or all together that the configuration does not name: room for the largest
/// attestation, and some left for others.
pub(crate) const ROOM_OF_ONE: usize = 16 << 20;

/// Kinds of questions that a registry may fail at one by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Manifests,
    Blobs,
    Referrers,
}

/// One endpoint of a registry, ready to be asked.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) plain_http: bool,
    /// For counting: `other` where the configuration does not name it.
    pub(super) counted_as: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) token_hosts: Vec<Host>,
    pub(super) http: Http,
    pub(super) pace: Pace,
    pace_of: [Pace; 3],
    pub(super) permits: Semaphore,
    /// Memory for what it answers.
    pub(super) room: Room,
    prefix: Option<String>,
    /// The registry that this is a mirror of.
    mirrored: Option<Host>,
}

impl Place {
    fn new(registry: &Host, endpoint: &Endpoint, http: Http, room: Room) -> Self {
        let Endpoint { host, plain_http, private: _, authorities: _, credentials, token_hosts, prefix } =
            endpoint;
        let own = api_host(host) == api_host(registry);
        Self {
            host: api_host(host),
            plain_http: *plain_http,
            counted_as: host.to_string(),
            credentials: credentials.clone(),
            token_hosts: token_hosts.iter().cloned().collect(),
            http,
            pace: Pace::default(),
            pace_of: Default::default(),
            permits: Semaphore::new(CONCURRENT),
            room,
            prefix: prefix.as_ref().map(ToString::to_string),
            mirrored: (!own).then(|| registry.clone()),
        }
    }

    /// A registry that the configuration does not name.
    pub(super) fn unlisted(registry: &Host, Unlisted { http, room }: &Unlisted) -> Self {
        let endpoint = Endpoint::new(registry.clone());
        let place = Self::new(registry, &endpoint, http.clone(), room.clone());
        Self { counted_as: "other".to_owned(), ..place }
    }

    /// What trouble slows down: everything that is asked here, where it is the place's own; else, where it has to do with
    /// one kind of question or is that of another server that this kind is sent to, nothing but that kind.
    pub(super) fn pace_at(&self, own: bool, kind: Kind) -> &Pace {
        if own { &self.pace } else { self.pace_of(kind) }
    }

    pub(super) fn pace_of(&self, kind: Kind) -> &Pace {
        let [manifests, blobs, referrers] = &self.pace_of;
        match kind {
            Kind::Manifests => manifests,
            Kind::Blobs => blobs,
            Kind::Referrers => referrers,
        }
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.mirrored.is_some()
    }

    /// The image's repository as this endpoint calls it.
    pub(super) fn repository(&self, image: &ImageReference) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{}", image.repository()),
            None => image.repository().to_string(),
        }
    }

    /// `rest`: what stands behind the repository, `manifests/latest`.
    pub(super) fn url(&self, image: &ImageReference, rest: &str) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/{rest}", self.host, self.repository(image));
        match &self.mirrored {
            // As containerd tells its mirrors which registry is meant.
            Some(registry) => format!("{url}?ns={registry}"),
            None => url,
        }
    }
}

/// Where the API of a registry is: Docker Hub's is not where references say.
fn api_host(registry: &Host) -> Host {
    let hub = Host::docker_hub();
    if *registry != hub {
        return registry.clone();
    }
    format!("registry-1.{hub}").parse().unwrap_or(hub)
}

/// By the registry's host, in the order in which they are asked.
pub(super) type Places = BTreeMap<Host, Vec<Arc<Place>>>;

/// What registries are asked with that are not listed.
#[derive(Clone, Debug)]
pub(super) struct Unlisted {
    http: Http,
    /// All of them share it.
    room: Room,
}

/// The places of all registries that are listed, and what those are asked with that are not.
pub(super) fn build(config: &RegistryConfig) -> Result<(Places, Unlisted), BadRegistry> {
    let tls = net::tls(&[], None).map_err(BadRegistry::Tls)?;
    let room = Room::new(ROOM);
    let mut places = BTreeMap::new();
    for Registry { host, endpoints } in &config.registries {
        let own = [Endpoint::new(host.clone())];
        let endpoints = if endpoints.is_empty() { own.as_slice() } else { endpoints };
        let mut of_registry = Vec::new();
        for endpoint in endpoints {
            let tls = if endpoint.authorities.is_empty() {
                tls.clone()
            } else {
                net::tls(&endpoint.authorities, None)
                    .map_err(|cause| BadRegistry::Authority { host: host.clone(), cause })?
            };
            let http = Http::new(tls, Arc::new(guard(endpoint, &config.private_hosts)));
            of_registry.push(Arc::new(Place::new(host, endpoint, http, room.part(ROOM_OF_ONE))));
        }
        if places.insert(host.clone(), of_registry).is_some() {
            return Err(BadRegistry::Twice { host: host.clone() });
        }
    }
    let nowhere = Guard::Public { except: HashSet::new() };
    Ok((places, Unlisted { http: Http::new(tls, Arc::new(nowhere)), room: room.part(ROOM_OF_ONE) }))
}

/// Where an endpoint may be, and where it may send us: only one that is inside itself to other places inside.
fn guard(endpoint: &Endpoint, private_hosts: &BTreeSet<Host>) -> Guard {
    if !endpoint.private && endpoint.host.address().is_none() {
        return Guard::Public { except: HashSet::new() };
    }
    let port = if endpoint.plain_http { 80 } else { 443 };
    let own = (endpoint.host.name().to_owned(), endpoint.host.port().unwrap_or(port));
    let others = private_hosts.iter().flat_map(|host| {
        // Without a port both schemes' own are meant.
        let ports = host.port().map_or([443, 80], |port| [port, port]);
        ports.map(|port| (host.name().to_owned(), port))
    });
    Guard::Public { except: [own].into_iter().chain(others).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_endpoint_inside_may_send_us_inside_and_to_what_is_named_alone() {
        let host = |text: &str| -> Host { text.parse().unwrap() };
        let storage = BTreeSet::from([host("storage.test"), host("token.test:8443")]);
        let private = std::net::IpAddr::from([10, 0, 0, 1]);
        let inside = Endpoint { private: true, ..Endpoint::new(host("reg.test:5000")) };
        let guard_of = |endpoint: &Endpoint| guard(endpoint, &storage);
        let allows = |endpoint: &Endpoint, host: &str, port| guard_of(endpoint).allows(host, port, private);
        for (host, port) in [("reg.test", 5000), ("storage.test", 443), ("token.test", 8443)] {
            assert!(allows(&inside, host, port), "{host}");
            assert!(!allows(&Endpoint::new("ghcr.test".parse().unwrap()), host, port), "{host}");
        }
        // Another registry that is inside too.
        assert!(!allows(&inside, "other.test", 443));
        assert!(!allows(&inside, "reg.test", 443));
        let by_address = Endpoint::new(host("10.0.0.1:5000"));
        assert!(allows(&by_address, "10.0.0.1", 5000) && allows(&by_address, "storage.test", 443));
    }

    #[test]
    fn docker_hub_is_asked_where_its_api_is_with_settings_and_without() {
        let hub = Host::docker_hub();
        for endpoints in [Vec::new(), vec![Endpoint::new(hub.clone())]] {
            let registries = vec![Registry::new(hub.clone(), endpoints)];
            let (places, _) = build(&RegistryConfig { registries, ..RegistryConfig::default() }).unwrap();
            let [place] = &*places[&hub] else { panic!("one place") };
            assert_eq!(place.host.to_string(), "registry-1.docker.io");
            assert!(!place.is_mirror());
        }
    }
}
