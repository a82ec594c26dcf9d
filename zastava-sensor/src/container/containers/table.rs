//! Containers by id, with a bound.

use std::{collections::VecDeque, sync::Arc};

use hashlink::LruCache;

use super::entry::Entry;

/// Containers looked at for one that may be forgotten.
const LOOKS: usize = 64;

/// The containers in mind: those that run, those that a runtime told of, and those that are gone, for a while.
#[derive(Debug)]
pub(super) struct Table {
    entries: LruCache<Arc<str>, Entry>,
    capacity: usize,
    /// Gone ones, the earliest first: until when, and which. One that came back is passed over.
    buried: VecDeque<(u64, Arc<str>)>,
    tombstone_ns: u64,
    /// Gone ones forgotten before their time.
    cut: u64,
    /// Others forgotten for want of room.
    evicted: u64,
}

impl Table {
    pub(super) fn new(capacity: usize, tombstone_ns: u64) -> Self {
        Self {
            // The bound is kept in `make_room`, which prefers to forget the gone.
            entries: LruCache::new_unbounded(),
            capacity: capacity.max(2),
            buried: VecDeque::new(),
            tombstone_ns,
            cut: 0,
            evicted: 0,
        }
    }

    pub(super) fn get(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    /// Puts the container in where it is new. What is forgotten instead is given to `forget`.
    pub(super) fn ensure(&mut self, id: &str, forget: impl FnMut(Entry)) {
        if self.entries.peek(id).is_none() {
            self.make_room(forget);
            let id: Arc<str> = Arc::from(id);
            self.entries.insert(Arc::clone(&id), Entry::new(id));
        }
    }

    /// It is gone: forgotten after a while, unless it comes back.
    pub(super) fn bury(&mut self, id: &Arc<str>, now: u64, forget: impl FnMut(Entry)) {
        let until = now.saturating_add(self.tombstone_ns);
        let Some(entry) = self.entries.peek_mut(id) else { return };
        if entry.buried_until.is_none() {
            entry.buried_until = Some(until);
            self.buried.push_back((until, Arc::clone(id)));
            self.make_way(self.capacity, forget);
        }
    }

    pub(super) fn expire(&mut self, now: u64, mut forget: impl FnMut(Entry)) {
        while let Some((until, id)) = self.buried.front().filter(|(until, _)| *until <= now).cloned() {
            self.buried.pop_front();
            if let Some(entry) = self.take_buried(until, &id) {
                forget(entry);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// For changes of all: the ids, so that each can be looked up while others are.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.entries.iter().map(|(id, _)| Arc::clone(id)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn tombstones(&self) -> usize {
        self.buried.len()
    }

    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn make_room(&mut self, mut forget: impl FnMut(Entry)) {
        self.make_way(self.capacity - 1, &mut forget);
        if self.entries.len() < self.capacity {
            return;
        }
        // Anybody may fill the table with a user's cgroups, and is to forget no container by it.
        let looked_at = || self.entries.iter().take(LOOKS);
        let one = looked_at().find(|(_, entry)| entry.life.is_none());
        let one = one.or_else(|| looked_at().find(|(_, entry)| entry.is_by_user()));
        let entry = match one.map(|(id, _)| Arc::clone(id)) {
            Some(id) => self.entries.remove(&id),
            None => self.entries.remove_lru().map(|(_, entry)| entry),
        };
        if let Some(entry) = entry {
            self.evicted += 1;
            forget(entry);
        }
    }

    /// Forgets gone ones until there are at most so many containers and tombstones.
    fn make_way(&mut self, most: usize, mut forget: impl FnMut(Entry)) {
        while self.entries.len() > most || self.buried.len() > self.capacity {
            let Some((until, id)) = self.buried.pop_front() else { return };
            if let Some(entry) = self.take_buried(until, &id) {
                self.cut += 1;
                forget(entry);
            }
        }
    }

    fn take_buried(&mut self, until: u64, id: &Arc<str>) -> Option<Entry> {
        let is_it = self.entries.peek(id).is_some_and(|entry| entry.buried_until == Some(until));
        is_it.then(|| self.entries.remove(id)).flatten()
    }
}
