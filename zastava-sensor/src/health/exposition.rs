//! Metrics of the whole process in Prometheus' text format.

use metrics::SetRecorderError;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

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

#[cfg(test)]
impl Exposition {
    /// With the metrics of `record` in it and no others.
    pub(crate) fn of(record: impl FnOnce()) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, record);
        Self { handle }
    }
}
