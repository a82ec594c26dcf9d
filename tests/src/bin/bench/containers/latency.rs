//! From the exec of an entrypoint to what a consumer hears of it, beside what containerd itself says.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::event::v1::{Event, event::Kind};
use zastava_tests::{expect::id_of, http, runtimes::events, watch};

use super::{PATIENCE, Place, milliseconds, percentile, when};
use crate::table::Table;

/// What is counted of the events that waited for their names.
const HELD: &str = "zastava_container_held_total";

pub(super) fn measure(place: &Place<'_>, quick: bool) -> Result<Table> {
    let count = if quick { 20 } else { 200 };
    let sensor = place.sensor(&["containers: { startSettleMs: 0 }"])?;
    let watched = watch::follow(&sensor.socket, &[Kind::ContainerStart, Kind::ProcessExec])?;
    let heard = events::task_starts(place.runtime.socket())?;
    // The first one opens the bare client's stream, and is not counted.
    let mut ids = Vec::new();
    for number in 0..=count {
        let ran = place.runtime.run(&place.wish(&[]))?;
        if number > 0 {
            ids.push(ran.id.clone());
        }
        place.runtime.remove(&ran)?;
    }
    let mut execs: HashMap<String, (SystemTime, SystemTime)> = HashMap::new();
    let mut starts: HashMap<String, SystemTime> = HashMap::new();
    let mut named = 0;
    let deadline = Instant::now() + PATIENCE;
    while starts.len() <= count {
        let came = match watched.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(came) => came,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        };
        let id = id_of(&came.event);
        if came.event.kind() == Kind::ContainerStart {
            starts.entry(id).or_insert(came.at);
        } else if !id.is_empty() {
            // Of the first alone: a program may execute another.
            if let Entry::Vacant(first) = execs.entry(id) {
                named += usize::from(ids.contains(first.key()) && has_names(&came.event));
                first.insert((when(&came.event)?, came.at));
            }
        }
    }
    let bare: HashMap<String, SystemTime> =
        heard.try_iter().map(|heard| (heard.container, heard.at)).collect();
    let held = metric(&http::get(sensor.metrics, "/metrics")?.1, HELD)?;
    sensor.stop()?;
    let mut table = Table::new(
        &format!(
            "From the exec of an entrypoint (the kernel's time) to a consumer on a unix socket, {count} containers one \
             after the other, containerd 1.6, `startSettleMs: 0`; milliseconds. Of {} first execs {named} came with all names; in the \
             whole run {held} events had waited for theirs.",
            ids.len()
        ),
        ["", "p50", "p99", "slowest", "of"],
    );
    let since_exec = |at: &dyn Fn(&String) -> Option<SystemTime>| {
        let time = |id: &String| {
            let (exec, _) = execs.get(id)?;
            Some(at(id)?.duration_since(*exec).unwrap_or_default())
        };
        let mut times: Vec<Duration> = ids.iter().filter_map(time).collect();
        times.sort_unstable();
        times
    };
    for (name, times) in [
        ("containerd's /tasks/start at a bare client", since_exec(&|id| bare.get(id).copied())),
        ("PROCESS_EXEC at a watcher", since_exec(&|id| execs.get(id).map(|(_, at)| *at))),
        ("CONTAINER_START at a watcher", since_exec(&|id| starts.get(id).copied())),
    ] {
        ensure!(!times.is_empty(), "{name}: nothing came");
        let [middle, most, all] = [50, 99, 100].map(|percent| milliseconds(percentile(&times, percent)));
        table.row([name.to_owned(), middle, most, all, times.len().to_string()]);
    }
    Ok(table)
}

fn has_names(event: &Event) -> bool {
    event
        .workload
        .as_ref()
        .is_some_and(|workload| !workload.pod.is_empty() && !workload.image_digest.is_empty())
}

/// The sum over all labels of a metric in the text form.
fn metric(text: &str, name: &str) -> Result<u64> {
    let lines =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    let mut sum = 0;
    for line in lines {
        sum += line.rsplit(' ').next().context("no value")?.parse::<u64>()?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::metric;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_other 9\n";
        assert_eq!(metric(text, "a_total").unwrap(), 5);
        assert_eq!(metric(text, "b_total").unwrap(), 0);
    }
}
