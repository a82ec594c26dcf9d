//! Places for connections.
//!
//! Anybody in the cluster can reach the port, and an API server often comes from a single address: so no address has a
//! fixed part, and one that is alone may have them all. When all are taken, whoever has fewer gets a place of the address
//! that has the most: however many take what they can, each comes to have as many as the others.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    next: u64,
    /// Addresses that have a place, and no others. The oldest comes first.
    peers: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    peer: IpAddr,
    number: u64,
    /// Somebody else has it now.
    lost: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// `None` where all are taken and nobody has more than this address would have.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            let own = taken.peers.get(&peer).map_or(0, BTreeMap::len);
            let most = taken.peers.values_mut().max_by_key(|places| places.len())?;
            if most.len() <= own + 1 {
                return None;
            }
            let (_, lost) = most.pop_first()?;
            lost.cancel();
            taken.all -= 1;
        }
        let (number, lost) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all += 1;
        taken.peers.entry(peer).or_default().insert(number, lost.clone());
        Some(Place { places: self.clone(), peer, number, lost })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Until somebody else has it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let Some(places) = taken.peers.get_mut(&self.peer) else { return };
        let had = places.remove(&self.number).is_some();
        if places.is_empty() {
            taken.peers.remove(&self.peer);
        }
        taken.all -= usize::from(had);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// Takes one after the other until there is no more.
    fn greedy(places: &Places, last: u8) -> Vec<Place> {
        std::iter::from_fn(|| places.take(peer(last))).collect()
    }

    fn kept(places: &[Place]) -> usize {
        places.iter().filter(|place| !place.lost.is_cancelled()).count()
    }

    #[test]
    fn one_address_may_have_every_place() {
        let places = Places::new(64);
        let all = greedy(&places, 1);
        assert_eq!(all.len(), 64);
        drop(all);
        assert!(places.taken().peers.is_empty(), "nothing is kept of it");
        assert_eq!(greedy(&places, 2).len(), 64);
    }

    #[test]
    fn however_many_take_what_they_can_the_next_gets_as_much() {
        let places = Places::new(64);
        let strangers: Vec<_> = (1..=7).map(|last| greedy(&places, last)).collect();
        let late = greedy(&places, 8);
        assert_eq!(kept(&late), 8);
        for stranger in &strangers {
            assert!((7..=9).contains(&kept(stranger)), "{}", kept(stranger));
        }
        assert_eq!(places.taken().all, 64);
        drop((strangers, late));
        assert_eq!(places.taken().all, 0);
    }

    #[test]
    fn who_has_little_loses_nothing_to_who_has_much() {
        let places = Places::new(64);
        let few = [places.take(peer(1)).unwrap(), places.take(peer(1)).unwrap()];
        let held: Vec<_> = (2..=20).map(|last| greedy(&places, last)).collect();
        assert_eq!(kept(&few), 2);
        drop(held);
    }
}
