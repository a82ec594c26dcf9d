//! What containers cost the sensor, and how soon it tells of them.

mod idle;
mod latency;
mod sampling;

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow};
use zastava_common::event::v1::Event;
use zastava_tests::{
    containers::{
        Choice, Kind,
        images::Images,
        runtime::{Runtime, Wish},
        wish,
    },
    runtimes::Series,
    sensor::{self, Sensor},
    stage::Stop,
};

/// What is awaited comes within this, or never.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime with the tests' images, for all measurements.
struct Place<'a> {
    directory: &'a Path,
    images: Images,
    runtime: Runtime,
    choice: Choice,
}

pub(crate) fn measure(directory: &Path, quick: bool) -> Result<()> {
    let images = Images::new()?;
    let runtime = Runtime::start(Kind::Containerd(Series::V1_6), &images, directory).map_err(unable)?;
    runtime.pull(&images.main.reference)?;
    let tier = sensor::working_tiers()?.first().copied().context("no tier works on this kernel")?;
    let choice = Choice { runtimes: Vec::new(), tier, full: false, filter: String::new() };
    let place = Place { directory, images, runtime, choice };
    latency::measure(&place, quick)?.print();
    sampling::measure(&place, quick)?.print();
    idle::measure(&place, quick)?.print();
    Ok(())
}

fn unable(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Unable(reason) => anyhow!(reason),
        Stop::Failed(error) => error,
    }
}

impl Place<'_> {
    /// A sensor with these lines below `zastava.sensor` of its configuration.
    fn sensor(&self, settings: &[&'static str]) -> Result<Sensor> {
        let mut wish = wish(&self.choice, &self.runtime);
        wish.settings.extend(settings);
        Sensor::start(&wish, &self.directory.join("sensor"))
    }

    fn wish(&self, command: &[&str]) -> Wish {
        Wish {
            image: self.images.main.reference.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..Wish::default()
        }
    }
}

/// The kernel's time of what an event tells.
fn when(event: &Event) -> Result<SystemTime> {
    Ok(SystemTime::try_from(event.when.context("an event without time")?)?)
}

/// The value below which so many of a hundred are.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Milliseconds with two decimals.
fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{milliseconds, percentile};

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&times, percent).as_millis()), [50, 99, 100]);
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
        assert_eq!(milliseconds(Duration::from_micros(1_234)), "1.23");
    }
}
