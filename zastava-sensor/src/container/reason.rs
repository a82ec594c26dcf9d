//! Why a record's container is not known, or not described.

/// The cgroup is not among those that exist, and the process that was in it is gone.
pub const CGROUP_GONE: &str = "cgroup gone";
/// Too many cgroups had to be looked up in too short a time.
pub const LOOKUPS_EXHAUSTED: &str = "cgroup lookups over their rate";
/// The tier tells no cgroup, and the process was gone before its cgroup could be read.
pub const PROCESS_GONE: &str = "process gone before its cgroup was read";
/// The cgroup's name is that of no runtime and of no part of the host.
pub const FORM_UNKNOWN: &str = "cgroup name of no known form";
/// The cgroup's name resembles a runtime's but holds no whole container id.
pub const ID_MALFORMED: &str = "cgroup name without a whole container id";
/// A pod's own cgroup, above its containers.
pub const POD_LEVEL: &str = "cgroup of a pod, not of a container";
/// A container of another kind: LXC, systemd-nspawn, a build step of BuildKit.
pub const OTHER_KIND: &str = "container of another kind";
/// The path leads out of the cgroup namespace in which the sensor itself runs.
pub const OUTSIDE_NAMESPACE: &str = "cgroup outside of the sensor's cgroup namespace";
/// A user's cgroup has the name of a container that runs elsewhere, or not at all, by its runtime's word.
pub const CLAIMED_BY_USER: &str = "cgroup of a user, named as another's container";
/// The machine mounts no cgroup v2 file system that shows the host's root.
pub const NO_CGROUP2: &str = "no cgroup v2 mount";

/// The configuration says `engine: none`.
pub const NOT_ASKED: &str = "container runtime not asked";
/// The runtime answers, and told nothing of the container for as long as its events could wait.
pub const NOT_IN_TIME: &str = "container not described in time";
/// More events waited for their containers to be described than may.
pub const NO_ROOM: &str = "no room to wait for the container's description";
/// No runtime answers, or none has so far.
pub const NO_RUNTIME: &str = "no container runtime answers";
/// The runtime was there and is not any more.
pub const RUNTIME_LOST: &str = "connection to the container runtime lost";
/// The runtime took the connection and gave no answer in time.
pub const RUNTIME_SILENT: &str = "container runtime gives no answer";
/// The runtime does not know the container: never did, or has forgotten it.
pub const RUNTIME_UNKNOWN: &str = "container unknown to the runtimes";
/// The runtime answered with an error.
pub const RUNTIME_REFUSED: &str = "container runtime refused to describe it";
/// The runtime's answer is not of the form that it has to be.
pub const ANSWER_MALFORMED: &str = "container runtime's answer malformed";
/// The runtime's answer, or a name in it, is larger than the sensor takes.
pub const ANSWER_TOO_LARGE: &str = "container runtime's answer too large";
/// Too many containers had to be asked about in too short a time.
pub const ASKS_EXHAUSTED: &str = "questions to the container runtime over their rate";

/// The runtime has no digest for the image: it was built or loaded, not pulled.
pub const NO_REPO_DIGEST: &str = "image without repo digest";
/// Several manifests have the config that runs, and nothing tells which of them was meant.
pub const DIGEST_AMBIGUOUS: &str = "several manifests have this image config";
/// The image is no longer in the runtime's store.
pub const IMAGE_GONE: &str = "image gone from the runtime's store";
/// The runtime gave no answer about the image, or none that can be read.
pub const IMAGE_UNREADABLE: &str = "image could not be looked up";

/// Why a start's libraries may lack some: the configuration says `collect.loadedLibs: false`.
pub const NOT_COLLECTED: &str = "libraries not collected";
/// The first process was gone, or not known, when its mappings were to be read; the kernel's records are there.
pub const MAPPINGS_GONE: &str = "process gone before its mappings were read";
/// The sensor lacks a capability.
pub const MAPPINGS_REFUSED: &str = "mappings of the process not readable: permission denied";

/// All reasons for a container that is not known, for counters.
pub const ALL: [&str; 10] = [
    CGROUP_GONE,
    LOOKUPS_EXHAUSTED,
    PROCESS_GONE,
    FORM_UNKNOWN,
    ID_MALFORMED,
    POD_LEVEL,
    OTHER_KIND,
    OUTSIDE_NAMESPACE,
    CLAIMED_BY_USER,
    NO_CGROUP2,
];

/// All reasons for a container that is known but not described, for counters.
pub const UNDESCRIBED: [&str; 11] = [
    NOT_ASKED,
    NOT_IN_TIME,
    NO_ROOM,
    NO_RUNTIME,
    RUNTIME_LOST,
    RUNTIME_SILENT,
    RUNTIME_UNKNOWN,
    RUNTIME_REFUSED,
    ANSWER_MALFORMED,
    ANSWER_TOO_LARGE,
    ASKS_EXHAUSTED,
];
