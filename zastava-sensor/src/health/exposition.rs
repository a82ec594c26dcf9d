//! Metrics of the whole process in Prometheus' text format.

use metrics::{SetRecorderError, Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use zastava_common::metric::{self, Kind, Metric};

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("metrics of this process are recorded elsewhere already")]
    Taken(#[from] SetRecorderError<PrometheusRecorder>),
}

/// What was recorded, to be rendered.
#[derive(Clone, Debug)]
pub struct Exposition {
    handle: PrometheusHandle,
}

impl Exposition {
    /// Records the metrics of this process from here on; once in a process.
    pub fn install() -> Result<Self, MetricsError> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        describe();
        Ok(Self { handle })
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

#[cfg(test)]
impl Exposition {
    /// With the metrics of `record` in it and no others.
    pub(crate) fn of(record: impl FnOnce()) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        Self { handle }
    }
}
