//! Why a record's container is not known.

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
/// The machine mounts no cgroup v2 file system that shows the host's root.
pub const NO_CGROUP2: &str = "no cgroup v2 mount";

/// All of them, for counters.
pub const ALL: [&str; 9] = [
    CGROUP_GONE,
    LOOKUPS_EXHAUSTED,
    PROCESS_GONE,
    FORM_UNKNOWN,
    ID_MALFORMED,
    POD_LEVEL,
    OTHER_KIND,
    OUTSIDE_NAMESPACE,
    NO_CGROUP2,
];
