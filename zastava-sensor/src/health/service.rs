//! What the service manager is told (sd_notify(3)): that the sensor is ready, that it still works, that it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Readiness;

/// How often to look whether the sensor is ready.
const LOOK: Duration = Duration::from_millis(50);

/// Beats each time that the stages have done a turn: on an idle machine once a second.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tells until `stop`. Where no service manager asked for it, there is nothing to do.
///
/// The watchdog is fed as long as the stages do their turns: a sensor that hangs is started anew.
pub async fn attend(readiness: Readiness, pulse: Pulse, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let attending = async {
        while !readiness.report().ready {
            time::sleep(LOOK).await;
        }
        tell(&[NotifyState::Ready]);
        let Some(patience) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
        let mut beats = pulse.beats();
        tell(&[NotifyState::Watchdog]);
        loop {
            time::sleep(patience / 3).await;
            let now = pulse.beats();
            if std::mem::replace(&mut beats, now) != now {
                tell(&[NotifyState::Watchdog]);
            }
        }
    };
    tokio::select! {
        () = attending => {}
        () = stop.cancelled() => tell(&[NotifyState::Stopping]),
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
