//! What one runtime told so far, also over a lost connection.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hashlink::LruCache;
use tokio::time::Instant;

use super::Stop;
use crate::container::description::{Description, Image, Pod, Role, Rootfs, State};

/// Containers and sandboxes kept in mind, ended ones included. Docker keeps these until they are removed.
const CAPACITY: usize = 8192;
/// A runtime may say of a short life that it ended before it began: the two times are not taken by the same hand. Nothing
/// is started anew sooner.
const APART: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Memory {
    known: LruCache<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    description: Arc<Description>,
    /// Out of memory was reported since it last ended.
    oom: bool,
    /// How it ended, as it was told since it last started.
    stop: Option<Stop>,
    /// When it was last told.
    seen: Instant,
}

/// What came of a description.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) description: Arc<Description>,
    /// Nothing in it is new.
    pub(super) same: bool,
    /// Another one was forgotten for want of room.
    pub(super) forgot: bool,
}

impl Memory {
    pub(super) fn new() -> Self {
        // The bound is kept in `learn`, which counts.
        Self { known: LruCache::new_unbounded() }
    }

    pub(super) fn get(&mut self, id: &str) -> Option<Arc<Description>> {
        self.known.get(id).map(|entry| Arc::clone(&entry.description))
    }

    pub(super) fn learn(&mut self, description: Description) -> Learned {
        let seen = Instant::now();
        let id = Arc::clone(&description.id);
        if let Some(entry) = self.known.get_mut(&id) {
            entry.seen = seen;
            let description = completed(description, &entry.description);
            let same = description == *entry.description;
            if !same {
                entry.description = Arc::new(description);
            }
            return Learned { description: Arc::clone(&entry.description), same, forgot: false };
        }
        let forgot = self.known.len() >= CAPACITY && self.known.remove_lru().is_some();
        let description = Arc::new(description);
        self.known.insert(id, Entry { description: Arc::clone(&description), oom: false, stop: None, seen });
        Learned { description, same: false, forgot }
    }

    /// Those of a pod.
    pub(super) fn of_pod(&self, uid: &str) -> Vec<Arc<Description>> {
        let of_pod = |one: &&Entry| one.description.pod.as_ref().is_some_and(|pod| pod.uid == uid);
        self.known
            .iter()
            .map(|(_, entry)| entry)
            .filter(of_pod)
            .map(|entry| Arc::clone(&entry.description))
            .collect()
    }

    /// Of the containers that did not end.
    pub(super) fn pods(&self) -> Vec<Pod> {
        let descriptions = self.known.iter().map(|(_, entry)| &entry.description);
        let living = descriptions.filter(|description| description.state != State::Exited);
        living.filter_map(|description| description.pod.clone()).collect()
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.known.remove(id);
    }

    pub(super) fn ran_out_of_memory(&mut self, id: &str) {
        if let Some(entry) = self.known.get_mut(id) {
            entry.oom = true;
        }
    }

    /// Its task exists (`at` is `None`), or runs.
    pub(super) fn started(
        &mut self,
        id: &str,
        pid: u32,
        root: Option<PathBuf>,
        at: Option<SystemTime>,
    ) -> Option<Arc<Description>> {
        let entry = self.known.get_mut(id)?;
        entry.seen = Instant::now();
        entry.begins();
        let description = Arc::make_mut(&mut entry.description);
        description.pid = Some(pid);
        description.state = if at.is_some() { State::Running } else { description.state };
        description.started = at.or(description.started);
        if let (Some(rootfs), Some(root)) = (&mut description.rootfs, root) {
            rootfs.path = Some(root);
        }
        Some(Arc::clone(&entry.description))
    }

    /// It starts anew, by a description that does not say more.
    pub(super) fn starts(&mut self, id: &str) {
        if let Some(entry) = self.known.get_mut(id) {
            entry.begins();
        }
    }

    /// Its end with all that is known of it. `None`: nothing in it is new.
    pub(super) fn stopped(&mut self, id: &str, stop: Stop) -> Option<Stop> {
        let Some(entry) = self.known.get_mut(id) else { return Some(stop) };
        if entry.is_of_life_before(&stop) {
            return Some(stop);
        }
        let description = Arc::make_mut(&mut entry.description);
        description.pid = None;
        description.state = State::Exited;
        let told = entry.stop.take();
        let before = told.clone().unwrap_or_default();
        let oom = std::mem::take(&mut entry.oom).then_some(true);
        let stop = Stop {
            code: stop.code.or(before.code),
            signal: stop.signal.or(before.signal),
            oom: oom.or(before.oom.filter(|oom| *oom)).or(stop.oom).or(before.oom),
            // Of two clocks the one that was read first.
            at: before.at.or(stop.at),
            reason: stop.reason.or(before.reason),
        };
        entry.stop = Some(stop.clone());
        (told.as_ref() != Some(&stop)).then_some(stop)
    }

    /// Those that were last told before.
    pub(super) fn seen_before(&self, when: Instant) -> Vec<Arc<str>> {
        self.known.iter().filter(|(_, entry)| entry.seen < when).map(|(id, _)| Arc::clone(id)).collect()
    }
}

impl Entry {
    /// What was told of memory since its end came late, and is not the next one's.
    fn begins(&mut self) {
        if self.stop.take().is_some() {
            self.oom = false;
        }
    }

    /// Whether it began anew since, which was told before this end. Docker may tell of a short one that it ended before
    /// it began: then that is all that it tells of the end.
    fn is_of_life_before(&self, stop: &Stop) -> bool {
        let Description { state, started, .. } = &*self.description;
        let before = |at: Option<SystemTime>| {
            at.and_then(|at| at.checked_add(APART)).zip(*started).is_some_and(|(at, started)| at < started)
        };
        let ended = self.stop.as_ref().is_some_and(|told| !before(told.at));
        before(stop.at) && (*state == State::Running || ended)
    }
}

/// A later description knows no less: the image as it was found nearest to the container's start stands, for the tag
/// may since lead to another manifest with the same config; and where the root is mounted may not be told again.
fn completed(mut new: Description, old: &Description) -> Description {
    if let (Some(image), Some(found)) = (&mut new.image, &old.image)
        && stands(found, image)
    {
        image.clone_from(found);
    }
    match (&mut new.rootfs, &old.rootfs) {
        (Some(new), Some(Rootfs { path: Some(path), .. })) if new.path.is_none() => {
            new.path = Some(path.clone());
        }
        (new @ None, Some(old)) => *new = Some(old.clone()),
        _ => {}
    }
    new.started = new.started.or(old.started);
    // Nothing is told by that.
    if new.state == State::Unknown {
        new.state = old.state;
    }
    // Its task is gone, and nobody has said so yet.
    if new.state == State::Created && old.state != State::Created {
        new.state = State::Exited;
    }
    // The API server was asked meanwhile.
    if old.owner.as_ref().is_some_and(|owner| !owner.derived) {
        new.owner.clone_from(&old.owner);
    }
    if new.role == Role::Workload {
        new.role = old.role;
    }
    new
}

fn stands(old: &Image, new: &Image) -> bool {
    let same = old.requested == new.requested
        && (new.config_digest.is_none() || old.config_digest == new.config_digest);
    same && old.digest.value().is_some()
}
