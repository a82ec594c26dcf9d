//! Which events a consumer asked for.

#[cfg(test)]
mod tests;

use zastava_common::event::v1::{Event, Loss, WatchRequest, Workload, event::Kind};

use super::kind::KindSet;

/// Values in one filter.
const MAX_VALUES: usize = 64;
/// Bytes of a container's name or id.
const MAX_CONTAINER: usize = 256;
/// Bytes of a path (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Characters from which on a beginning counts as that of an id: shorter ones are names of containers more often.
const MIN_ID: usize = 4;

/// `workload.platform`, and the filter, of what runs in no container.
const HOST: &str = "host";

/// A [`WatchRequest`] that can be met.
///
/// A loss is kept back only when it surely does not concern the consumer: its container is known to be another one,
/// or both [`Kind::Loss`] and the kind that was lost are not asked for. A path does not keep it back.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    kinds: KindSet,
    containers: Vec<String>,
    path_prefixes: Vec<String>,
}

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    #[error("the filter by {0} has more than {MAX_VALUES} values")]
    TooMany(&'static str),
    #[error("the filter by kind has {0}, which is not a kind of event")]
    Kind(i32),
    #[error("a container's name or id has 1 to {MAX_CONTAINER} bytes")]
    Container,
    #[error("a path prefix begins with / and has at most {MAX_PATH} bytes")]
    Path,
}

impl TryFrom<WatchRequest> for Filter {
    type Error = FilterError;

    fn try_from(request: WatchRequest) -> Result<Self, FilterError> {
        let WatchRequest { kinds, containers, path_prefixes } = request;
        for (name, values) in
            [("kind", kinds.len()), ("container", containers.len()), ("path", path_prefixes.len())]
        {
            if values > MAX_VALUES {
                return Err(FilterError::TooMany(name));
            }
        }
        let kind = |number| match Kind::try_from(number) {
            Ok(Kind::Unspecified) | Err(_) => Err(FilterError::Kind(number)),
            Ok(kind) => Ok(kind),
        };
        if containers.iter().any(|container| container.is_empty() || container.len() > MAX_CONTAINER) {
            return Err(FilterError::Container);
        }
        if path_prefixes.iter().any(|prefix| !prefix.starts_with('/') || prefix.len() > MAX_PATH) {
            return Err(FilterError::Path);
        }
        Ok(Self {
            kinds: kinds.into_iter().map(kind).collect::<Result<_, _>>()?,
            containers: containers.into_iter().map(|container| bare_id(&container).to_owned()).collect(),
            path_prefixes: path_prefixes
                .into_iter()
                .map(|prefix| prefix.trim_end_matches('/').to_owned())
                .collect(),
        })
    }
}

impl Filter {
    pub fn matches(&self, event: &Event) -> bool {
        let lost = event.loss.as_ref().filter(|_| event.kind() == Kind::Loss);
        self.kind_matches(event.kind(), lost)
            && self.container_matches(event.workload.as_ref(), lost.is_some())
            && (lost.is_some() || self.path_matches(event))
    }

    /// Whether the container is one of those asked for.
    pub(super) fn is_container(&self, workload: Option<&Workload>) -> bool {
        self.container_matches(workload, false)
    }

    fn kind_matches(&self, kind: Kind, lost: Option<&Loss>) -> bool {
        self.kinds.has(kind)
            || lost.is_some_and(|loss| match loss.kind.as_str() {
                "exec" => self.kinds.has(Kind::ProcessExec),
                "exit" => self.kinds.has(Kind::ProcessExit),
                "mapping" => self.kinds.has(Kind::LibraryLoad),
                "file" => self.kinds.has(Kind::FileCreate),
                "listen" => self.kinds.has(Kind::Listen),
                // Of cgroups: a container without a name. Of what, nobody knows.
                _ => true,
            })
    }

    fn container_matches(&self, workload: Option<&Workload>, lost: bool) -> bool {
        if self.containers.is_empty() {
            return true;
        }
        let Some(workload) = workload.filter(|workload| {
            workload.platform == HOST || !workload.container_id.is_empty() || !workload.container.is_empty()
        }) else {
            return lost;
        };
        let id = bare_id(&workload.container_id);
        self.containers.iter().any(|wanted| {
            wanted == id
                || (wanted.len() >= MIN_ID && id.starts_with(wanted.as_str()))
                || *wanted == workload.container
                || is_in_pod(wanted, workload)
                || (wanted == HOST && workload.platform == HOST)
        })
    }

    fn path_matches(&self, event: &Event) -> bool {
        if self.path_prefixes.is_empty() {
            return true;
        }
        let process = event.process.as_ref();
        let files =
            event.file.as_ref().into_iter().chain(process.and_then(|process| process.script.as_ref()));
        let exe = process.map(|process| (process.exe.as_str(), false));
        files
            .map(|file| (file.path.as_str(), file.path_truncated))
            .chain(exe)
            // The beginning that is missing may be the one asked for.
            .any(|(path, truncated)| truncated || self.path_prefixes.iter().any(|prefix| below(path, prefix)))
    }
}

/// `pod/container` or `namespace/pod/container`.
fn is_in_pod(wanted: &str, workload: &Workload) -> bool {
    let Some((pod, container)) = wanted.rsplit_once('/') else { return false };
    if container != workload.container || workload.pod.is_empty() {
        return false;
    }
    match pod.split_once('/') {
        Some((namespace, pod)) => namespace == workload.namespace && pod == workload.pod,
        None => pod == workload.pod,
    }
}

/// Without `containerd://`.
fn bare_id(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}

/// The path is `prefix` or stands below it; `/usr/lib` has nothing to do with `/usr/lib64`.
fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
