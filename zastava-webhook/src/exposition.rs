//! Metrics of the process in Prometheus' text format.

use metrics::{SetRecorderError, Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use zastava_common::metric::{self, Kind, Metric};

/// Seconds: 0.25 ms to 10 s.
const BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("metrics of this process are recorded elsewhere already")]
    Taken(#[from] SetRecorderError<PrometheusRecorder>),
    #[error("cannot set up metrics: {0}")]
    Build(#[from] BuildError),
}

/// What was recorded, to be rendered.
#[derive(Clone, Debug)]
pub struct Exposition {
    handle: PrometheusHandle,
}

impl Exposition {
    /// Records the metrics of this process from here on; once in a process.
    pub fn install() -> Result<Self, MetricsError> {
        let (exposition, recorder) = Self::recorder()?;
        metrics::set_global_recorder(recorder)?;
        describe();
        Ok(exposition)
    }

    fn recorder() -> Result<(Self, PrometheusRecorder), MetricsError> {
        let duration = Matcher::Full(metric::ADMISSION_DURATION.to_owned());
        let recorder = PrometheusBuilder::new().set_buckets_for_metric(duration, &BUCKETS)?.build_recorder();
        Ok((Self { handle: recorder.handle() }, recorder))
    }

    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Sums up what histograms gathered.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Puts help and units of the table into the output.
fn describe() {
    for &Metric { name, kind, unit, labels: _, help } in metric::ALL {
        let unit = match unit {
            metric::Unit::Count => Unit::Count,
            metric::Unit::Bytes => Unit::Bytes,
            metric::Unit::Milliseconds => Unit::Milliseconds,
            metric::Unit::Seconds => Unit::Seconds,
        };
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}
