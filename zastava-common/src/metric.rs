//! Metric names: the advisory's (section 12) and ours, with what they count, as plain data.
//!
//! Names are dotted, as the advisory has them; Prometheus shows underscores for the dots. Every counter's name ends
//! in `total`. Values of labels are few and fixed: never a container, a path or a process.

/// What a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    /// One sentence for who reads a dashboard.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Seconds,
}

/// One row per metric: constant, kind, name, labels, unit; its comment is its help.
macro_rules! metrics {
    ($(#[doc = $help:literal] $constant:ident: $kind:ident $name:literal [$($label:literal),*] $unit:ident;)+) => {
        $(#[doc = $help] pub const $constant: &str = $name;)+

        /// Every metric, for descriptions and for the documentation.
        pub const ALL: &[Metric] = &[
            $(Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help.trim_ascii(),
            },)+
        ];
    };
}

metrics! {
    // The observer: section 12.1 of the advisory.
    /// Events told.
    RUNTIME_EVENTS: Counter "zastava.runtime.events.total" ["kind"] Count;
    /// Time until the backend answered.
    BACKEND_LATENCY: Histogram "zastava.runtime.backend.latency.ms" ["endpoint"] Milliseconds;
    /// Readings of `maps` in /proc.
    PROC_MAPS_SAMPLES: Counter "zastava.proc_maps.samples.total" ["result"] Count;
    /// Steps from an entrypoint to the program that stays.
    ENTRYTRACE_DEPTH: Histogram "zastava.entrytrace.depth" [] Count;
    /// Bytes of files hashed.
    HASH_BYTES: Counter "zastava.hash.bytes.total" [] Bytes;
    /// Events dropped because no more could wait.
    BUFFER_DROPS: Counter "zastava.buffer.drops.total" [] Count;

    // The webhook: section 12.2.
    /// Admission requests answered.
    ADMISSION_DECISIONS: Counter "zastava.admission.decisions.total" ["decision"] Count;
    /// Facts about an image that were still known.
    ADMISSION_CACHE_HITS: Counter "zastava.admission.cache.hits.total" [] Count;
    /// Requests that the backend did not answer as it should.
    BACKEND_FAILURES: Counter "zastava.backend.failures.total" [] Count;

    /// Time from a request's arrival to its answer, by how far the answer had to be fetched.
    ADMISSION_DURATION: Histogram "zastava.admission.duration.seconds" ["path"] Seconds;
    /// What spoke against images.
    ADMISSION_FINDINGS: Counter "zastava.admission.findings.total" ["criterion", "reason"] Count;
    /// Requests let through because their namespace fails open; its name is one of the configuration's.
    ADMISSION_FAIL_OPEN: Counter "zastava.admission.fail_open.total" ["namespace"] Count;
    /// Requests that got no decision.
    ADMISSION_UNANSWERED: Counter "zastava.admission.unanswered.total" ["cause"] Count;
    /// Bytes of facts that are remembered.
    ADMISSION_CACHE_BYTES: Gauge "zastava.admission.cache.bytes" [] Bytes;
    /// Connections open.
    ADMISSION_CONNECTIONS: Gauge "zastava.admission.connections" [] Count;
    /// Connections that were not served.
    ADMISSION_CONNECTION_FAILURES: Counter "zastava.admission.connection.failures.total" ["cause"] Count;
    /// Time until the serving certificate is out of date; negative when it is.
    ADMISSION_CERT_EXPIRY: Gauge "zastava.admission.cert.expiry.seconds" [] Seconds;
    /// Configurations and certificates read anew.
    ADMISSION_RELOADS: Counter "zastava.admission.reloads.total" ["what", "result"] Count;
    /// 1 while the policy in force is the one that the files say; 0 after a change that could not be used.
    ADMISSION_POLICY_CURRENT: Gauge "zastava.admission.policy.current" [] Count;
    /// 1 while the API server is told what the configuration says, else 0; absent where the webhook may not look.
    ADMISSION_WEBHOOKS_CURRENT: Gauge "zastava.admission.webhooks.current" [] Count;
    /// Requests to registries.
    REGISTRY_REQUESTS: Counter "zastava.registry.requests.total" ["host", "code"] Count;

    // Kernel stage.
    /// Records received from the kernel.
    KERNEL_RECORDS: Counter "zastava.kernel.records.total" ["kind"] Count;
    /// Records that the kernel's loss ledger says were lost.
    KERNEL_LOST: Counter "zastava.kernel.lost.total" ["kind"] Count;
    /// Sequence numbers that never arrived; more than the ledger's sum means that the ledger is wrong.
    KERNEL_GAPS: Counter "zastava.kernel.gaps.total" [] Count;
    /// Bytes waiting in a ring buffer.
    KERNEL_RING_BYTES: Gauge "zastava.kernel.ring.bytes" ["ring"] Bytes;
    /// Runs of a kernel program that were skipped because it was running already on that CPU.
    KERNEL_RECURSION_MISSES: Counter "zastava.kernel.recursion.misses.total" ["program"] Count;
    /// Reads of kernel memory that failed in a kernel program.
    KERNEL_READ_FAILURES: Counter "zastava.kernel.read.failures.total" [] Count;
    /// Renames, links, chmods and scripts that the kernel programs had no room to keep in mind; those of files are in the loss ledger too.
    KERNEL_KEPT_REFUSALS: Counter "zastava.kernel.kept.refusals.total" [] Count;
    /// Records that were not believed.
    KERNEL_DECODE_ERRORS: Counter "zastava.kernel.decode.errors.total" ["reason"] Count;
    /// Records that perf could not place in its ring.
    PERF_LOST: Counter "zastava.perf.lost.total" [] Count;
    /// Records of perf that were not believed.
    PERF_DECODE_ERRORS: Counter "zastava.perf.decode.errors.total" [] Count;
    /// Rings of perf that could not be followed and were dropped up to their heads.
    PERF_RESETS: Counter "zastava.perf.resets.total" [] Count;
    /// Times that the kernel's fanotify queue was full.
    FANOTIFY_OVERFLOWS: Counter "zastava.fanotify.overflows.total" [] Count;
    /// Events of fanotify that were not believed.
    FANOTIFY_DECODE_ERRORS: Counter "zastava.fanotify.decode.errors.total" [] Count;
    /// Events of fanotify whose file was gone before it could be looked at.
    FANOTIFY_GONE: Counter "zastava.fanotify.gone.total" [] Count;
    /// Mounts that fanotify does not watch, for want of room.
    FANOTIFY_UNWATCHED: Counter "zastava.fanotify.unwatched.total" [] Count;

    // Process stage.
    /// Processes in the table.
    PROCESS_TABLE_SIZE: Gauge "zastava.process.table.size" [] Count;
    /// Living processes forgotten for want of room in the table.
    PROCESS_TABLE_REFUSALS: Counter "zastava.process.table.refusals.total" [] Count;

    // Container stage.
    /// Cgroups in the inventory.
    CGROUP_TABLE_SIZE: Gauge "zastava.cgroup.table.size" [] Count;
    /// Cgroups forgotten or not looked up for want of room.
    CGROUP_TABLE_REFUSALS: Counter "zastava.cgroup.table.refusals.total" ["reason"] Count;
    /// Events whose container could not be told.
    CONTAINER_UNKNOWN: Counter "zastava.container.unknown.total" ["reason"] Count;

    /// Containers in mind, gone ones included.
    CONTAINER_TABLE_SIZE: Gauge "zastava.container.table.size" [] Count;
    /// Containers forgotten before their time for want of room.
    CONTAINER_TABLE_REFUSALS: Counter "zastava.container.table.refusals.total" ["reason"] Count;
    /// Events that had to wait for their container to be described.
    HELD: Counter "zastava.container.held.total" [] Count;
    /// Events that had waited and went on: described, or why not.
    RELEASED: Counter "zastava.container.released.total" ["reason"] Count;
    /// Times that a container's events found no room to wait, and went on.
    HELD_REFUSALS: Counter "zastava.container.held.refusals.total" [] Count;
    /// Events that wait for their container to be described.
    WAITING_EVENTS: Gauge "zastava.container.waiting.events" [] Count;
    /// Bytes of the events that wait.
    WAITING_BYTES: Gauge "zastava.container.waiting.bytes" [] Bytes;
    /// Container runtimes that answered and were listed, each time.
    RUNTIME_CONNECTIONS: Counter "zastava.container.runtime.connections.total" [] Count;
    /// Connections to container runtimes that were lost.
    RUNTIME_DISCONNECTIONS: Counter "zastava.container.runtime.disconnections.total" [] Count;
    /// Containers that a runtime described.
    RUNTIME_DESCRIPTIONS: Counter "zastava.container.runtime.descriptions.total" [] Count;
    /// Containers that no runtime could describe.
    RUNTIME_REFUSALS: Counter "zastava.container.runtime.refusals.total" [] Count;
    /// Events of container runtimes.
    RUNTIME_CHANGES: Counter "zastava.container.runtime.changes.total" [] Count;
    /// Containers that the runtimes were asked about because none had told of them.
    RUNTIME_ASKS: Counter "zastava.container.runtime.asks.total" [] Count;
    /// Containers that were not asked about for want of room.
    RUNTIME_ASKS_REFUSED: Counter "zastava.container.runtime.asks.refusals.total" [] Count;
    /// Descriptions that the clients forgot for want of room; they are asked for again.
    RUNTIME_FORGOTTEN: Counter "zastava.container.runtime.forgotten.total" [] Count;

    // Mappings that were told.
    /// Pairs of cgroup and mapped file that were told.
    SEEN_TABLE_SIZE: Gauge "zastava.seen.table.size" [] Count;
    /// Pairs of cgroup and mapped file forgotten for want of room; they are told again.
    SEEN_TABLE_REFUSALS: Counter "zastava.seen.table.refusals.total" [] Count;

    // File stage.
    /// Files in the cache of digests and build-ids.
    FILE_CACHE_SIZE: Gauge "zastava.file.cache.size" [] Count;
    /// Files whose digest was known already.
    FILE_CACHE_HITS: Counter "zastava.file.cache.hits.total" [] Count;
    /// Files that had to be read.
    FILE_CACHE_MISSES: Counter "zastava.file.cache.misses.total" [] Count;
    /// Files forgotten for want of room in the cache.
    FILE_CACHE_REFUSALS: Counter "zastava.file.cache.refusals.total" [] Count;
    /// Files hashed.
    HASH_FILES: Counter "zastava.hash.files.total" [] Count;
    /// Files not hashed.
    HASH_SKIPS: Counter "zastava.hash.skips.total" ["reason"] Count;

    // Deliver stage.
    /// Watchers connected.
    WATCH_CLIENTS: Gauge "zastava.watch.clients" [] Count;
    /// Watchers turned away because there were too many.
    WATCH_REFUSALS: Counter "zastava.watch.refusals.total" [] Count;
    /// Events that a watcher was too slow for; each counts for its watcher only.
    WATCH_MISSED: Counter "zastava.watch.missed.total" [] Count;
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, path::Path};

    use super::{ALL, Kind, Metric, Unit};

    #[test]
    fn the_documentation_has_every_metric_and_no_other() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let text = fs::read_to_string(file).unwrap();
        let rows: Vec<String> = ALL.iter().map(row).collect();
        let written: Vec<&str> = text.lines().filter(|line| line.starts_with("| `zastava.")).collect();
        let missing: Vec<_> = rows.iter().filter(|row| !written.contains(&row.as_str())).collect();
        let beyond: Vec<_> = written.iter().filter(|row| !rows.iter().any(|wanted| wanted == *row)).collect();
        assert!(missing.is_empty() && beyond.is_empty(), "missing: {missing:#?}, beyond: {beyond:#?}");
        assert_eq!(written.len(), rows.len(), "a row stands there twice");
    }

    fn row(metric: &Metric) -> String {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let unit = match metric.unit {
            Unit::Count => "",
            Unit::Bytes => ", bytes",
            Unit::Milliseconds => ", ms",
            Unit::Seconds => ", s",
        };
        format!("| `{}` | {} | {kind}{unit} | {} |", metric.name, labels.join(", "), metric.help)
    }

    #[test]
    fn the_advisorys_metrics_are_there_with_their_labels() {
        let advisory = [
            ("zastava.runtime.events.total", &["kind"][..]),
            ("zastava.runtime.backend.latency.ms", &["endpoint"]),
            ("zastava.proc_maps.samples.total", &["result"]),
            ("zastava.entrytrace.depth", &[]),
            ("zastava.hash.bytes.total", &[]),
            ("zastava.buffer.drops.total", &[]),
            ("zastava.admission.decisions.total", &["decision"]),
            ("zastava.admission.cache.hits.total", &[]),
            ("zastava.backend.failures.total", &[]),
        ];
        for (name, labels) in advisory {
            let metric = ALL.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(metric.labels, labels, "{name}");
        }
    }

    #[test]
    fn names_are_distinct_in_prometheus_too() {
        let names: HashSet<String> = ALL.iter().map(|metric| metric.name.replace('.', "_")).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_';
            assert!(metric.name.starts_with("zastava.") && metric.name.bytes().all(plain), "{}", metric.name);
        }
    }

    #[test]
    fn counters_and_nothing_else_end_in_total() {
        for metric in ALL {
            assert_eq!(
                metric.name.strip_suffix(".total").is_some(),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn every_help_is_a_sentence() {
        for metric in ALL {
            assert!(metric.help.ends_with('.') && !metric.help.starts_with(' '), "{}", metric.name);
        }
    }
}
