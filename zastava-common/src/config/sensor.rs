use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AbsolutePath, Bounded, ListenAddress, RingBytes, SocketPath};
use crate::abi::Tier;

/// How the sensor reads the kernel, and what it may hold in memory.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Sensor {
    /// How far into the kernel the sensor goes; `auto` takes the best tier that works.
    pub tier: TierChoice,
    /// The ring buffers between kernel and sensor.
    pub rings: Rings,
    /// How long records gather before they are read, in milliseconds.
    pub flush_interval_ms: Bounded<1, 1_000>,
    /// Mappings that the kernel remembers as already told.
    pub first_seen_entries: Bounded<16, 1_048_576>,
    /// Pairs of cgroup and kind that the kernel's loss ledger tells apart.
    pub loss_entries: Bounded<16, 1_048_576>,
    /// Live processes that the sensor keeps in mind.
    pub process_table_entries: Bounded<16, 4_194_304>,
    /// Files whose digest and build-id the sensor keeps in mind.
    pub file_cache_entries: Bounded<16, 4_194_304>,
    /// Bytes of files hashed per second at most.
    pub hash_bytes_per_second: Bounded<1_048_576, { 64 << 30 }>,
    /// Larger files are not hashed, in bytes.
    pub max_hash_file_bytes: Bounded<4_096, { 1 << 40 }>,
    /// The unix socket of `zastava-sensor watch`.
    pub watch_socket: SocketPath,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; port 0 takes a free one.
    pub metrics_address: ListenAddress,
    /// Events that may wait for one watcher; a slower one loses its own.
    pub watch_queue: Bounded<1, 1_048_576>,
    /// Watchers served at once.
    pub max_watchers: Bounded<1, 1_024>,
    /// Where the host's cgroup file system is mounted.
    pub cgroup_root: AbsolutePath,
    /// How containers are followed, and how long events wait for their names.
    pub containers: Containers,
}

impl Default for Sensor {
    fn default() -> Self {
        Self {
            tier: TierChoice::default(),
            rings: Rings::default(),
            flush_interval_ms: Bounded::literal::<20>(),
            first_seen_entries: Bounded::literal::<16_384>(),
            loss_entries: Bounded::literal::<4_096>(),
            process_table_entries: Bounded::literal::<32_768>(),
            file_cache_entries: Bounded::literal::<16_384>(),
            hash_bytes_per_second: Bounded::literal::<268_435_456>(),
            max_hash_file_bytes: Bounded::literal::<1_073_741_824>(),
            watch_socket: SocketPath::known("/run/zastava/sensor.sock"),
            metrics_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)).into(),
            watch_queue: Bounded::literal::<4_096>(),
            max_watchers: Bounded::literal::<16>(),
            cgroup_root: AbsolutePath::known("/sys/fs/cgroup"),
            containers: Containers::default(),
        }
    }
}

/// How containers are followed, and how long events wait for their names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Containers {
    /// How long an event waits for the runtime to describe its container, in milliseconds.
    pub hold_ms: Bounded<0, 10_000>,
    /// Events that may wait at once.
    pub hold_events: Bounded<16, 1_048_576>,
    /// Bytes of events that may wait at once.
    pub hold_bytes: Bounded<65_536, { 4 << 30 }>,
    /// How long a container that is gone keeps its names for late events, in seconds.
    pub tombstone_seconds: Bounded<1, 3_600>,
    /// Containers kept in mind, gone ones included.
    pub entries: Bounded<16, 1_048_576>,
    /// From a container's first exec to its CONTAINER_START, in which its libraries gather, in milliseconds.
    pub start_settle_ms: Bounded<0, 10_000>,
}

impl Default for Containers {
    fn default() -> Self {
        Self {
            hold_ms: Bounded::literal::<500>(),
            hold_events: Bounded::literal::<8_192>(),
            hold_bytes: Bounded::literal::<16_777_216>(),
            tombstone_seconds: Bounded::literal::<60>(),
            entries: Bounded::literal::<8_192>(),
            start_settle_ms: Bounded::literal::<10>(),
        }
    }
}

/// The ring buffers between kernel and sensor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rings {
    /// The ring of execs and exits, in bytes.
    pub process_bytes: RingBytes,
    /// The ring of mappings and files, in bytes.
    pub files_bytes: RingBytes,
}

impl Default for Rings {
    fn default() -> Self {
        Self { process_bytes: RingBytes::power::<21>(), files_bytes: RingBytes::power::<22>() }
    }
}

/// How far into the kernel the sensor goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum TierChoice {
    // The best that works.
    #[default]
    Auto,
    Trampoline,
    Kprobe,
    Tracepoint,
    Sideband,
}

impl TierChoice {
    /// `None`: the best that works.
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Self::Auto => None,
            Self::Trampoline => Some(Tier::Trampoline),
            Self::Kprobe => Some(Tier::Kprobe),
            Self::Tracepoint => Some(Tier::Tracepoint),
            Self::Sideband => Some(Tier::Sideband),
        }
    }
}
