//! What the API server says of a pod: its owner, and which of its containers are init, sidecar or ephemeral ones.
//!
//! Asked where a service account is mounted and may read pods; optional in every respect.

mod api;
mod pod;
#[cfg(test)]
pub(super) mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashlink::LruCache;
use tokio::{sync::Semaphore, time::Instant};

use self::api::Api;
use super::client::Failure;
use crate::container::description::{Description, Owner, Pod, Role};

/// Pods kept in mind.
const PODS: usize = 4096;
/// Questions at once.
const AT_ONCE: usize = 4;
/// After a failure nothing is asked for so long: the API server has more important things to do.
const PAUSE: Duration = Duration::from_secs(30);

/// What a pod's own object says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) owner: Option<Owner>,
    /// By the container's name; those not in it are the workload's.
    pub(super) roles: HashMap<String, Role>,
}

#[derive(Debug)]
pub(super) struct Kubernetes {
    api: Api,
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By the pod's uid. `None`: being asked, or without an answer.
    pods: LruCache<String, Option<Arc<Facts>>>,
    paused: Option<Instant>,
}

impl Kubernetes {
    /// `None`: no service account is mounted, or none that can be used.
    pub(super) fn in_cluster() -> Option<Self> {
        match Api::in_cluster() {
            Ok(Some(api)) => Some(Self::new(api)),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "the API server cannot be asked: owners of pods are derived from their names");
                None
            }
        }
    }

    fn new(api: Api) -> Self {
        let state = State { pods: LruCache::new(PODS), paused: None };
        Self { api, slots: Semaphore::new(AT_ONCE), state: Mutex::new(state) }
    }

    pub(super) fn known(&self, pod: &Pod) -> Option<Arc<Facts>> {
        self.state().pods.get(&pod.uid).cloned().flatten()
    }

    /// A question about it, if it is worth one: once, and not while the API server has no answers.
    pub(super) fn question(self: &Arc<Self>, pod: &Pod) -> Option<Question> {
        let mut state = self.state();
        if pod.uid.is_empty() || state.pods.contains_key(&pod.uid) || state.is_paused() {
            return None;
        }
        state.pods.insert(pod.uid.clone(), None);
        Some(Question { of: Arc::clone(self), pod: pod.clone(), answered: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One about a pod. Where it ends without an answer, or was never put, the pod may be asked about again.
#[derive(Debug)]
pub(super) struct Question {
    of: Arc<Kubernetes>,
    pod: Pod,
    answered: bool,
}

impl Question {
    /// Puts it, unless the API server failed while it waited.
    pub(super) async fn put(mut self) -> Option<Arc<Facts>> {
        let _slot = self.of.slots.acquire().await.ok()?;
        if self.of.state().is_paused() {
            return None;
        }
        match pod::facts(&self.of.api, &self.pod).await {
            Ok(facts) => {
                self.answered = true;
                let facts = Arc::new(facts);
                self.of.state().pods.insert(self.pod.uid.clone(), Some(Arc::clone(&facts)));
                Some(facts)
            }
            // Deleted, or another one with its name: there is nothing more to learn.
            Err(Failure::Unknown) => {
                self.answered = true;
                None
            }
            Err(failure) => {
                let until = Instant::now() + PAUSE;
                let paused = self.of.state().paused.replace(until);
                if paused.is_none_or(|until| until < Instant::now()) {
                    tracing::warn!(%failure, "the API server does not tell a pod's owner: derived from its name");
                }
                None
            }
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.answered {
            self.of.state().pods.remove(&self.pod.uid);
        }
    }
}

impl State {
    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }
}

impl Facts {
    /// Puts them into a description of the pod.
    pub(super) fn complete(&self, description: &mut Description) {
        if let Some(owner) = &self.owner {
            description.owner = Some(owner.clone());
        } else {
            // It has none, whatever its name looks like.
            description.owner = None;
        }
        if description.role == Role::Workload
            && let Some(role) = self.roles.get(&description.name)
        {
            description.role = *role;
        }
    }
}
