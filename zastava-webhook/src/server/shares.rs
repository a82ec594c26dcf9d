//! Something of which there is so much and no more, and what one address may have of it.
//!
//! Anybody in the cluster can reach the port, and an API server often comes from a single address: so no address has a
//! fixed part. Each may have as much as it leaves to all others, as switches share their buffers (Choudhury and Hahne,
//! "Dynamic queue length thresholds"): alone it has half, and of however many that take what they can none takes the last.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Addresses that have something, and no others.
    peers: HashMap<IpAddr, usize>,
}

/// What somebody has, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    whole: Shares,
    peer: IpAddr,
    has: usize,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Nothing yet.
    pub(super) fn of(&self, peer: IpAddr) -> Share {
        Share { whole: self.clone(), peer, has: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// `true` when it has so much now; else it has what it had.
    pub(super) fn grow_to(&mut self, size: usize) -> bool {
        let more = size.saturating_sub(self.has);
        if more == 0 {
            return true;
        }
        let mut taken = self.whole.taken();
        let (all, of_peer) = (taken.all + more, more + taken.peers.get(&self.peer).unwrap_or(&0));
        if of_peer > self.whole.most.saturating_sub(all) {
            return false;
        }
        taken.all = all;
        taken.peers.insert(self.peer, of_peer);
        self.has = size;
        true
    }

    /// Gives back what is more than that.
    pub(super) fn shrink_to(&mut self, size: usize) {
        let less = self.has.saturating_sub(size);
        let mut taken = self.whole.taken();
        taken.all -= less;
        if let Some(of_peer) = taken.peers.get_mut(&self.peer) {
            *of_peer -= less;
            if *of_peer == 0 {
                taken.peers.remove(&self.peer);
            }
        }
        self.has -= less;
    }

    /// Whose it is.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn a_share_grows_as_long_as_it_may_and_is_given_back_as_a_whole() {
        let shares = Shares::new(100);
        let mut share = shares.of(peer(1));
        assert!(share.grow_to(20) && share.grow_to(50) && share.grow_to(10));
        assert!(!share.grow_to(51), "half is for others");
        assert!(!shares.of(peer(1)).grow_to(1));
        let mut other = shares.of(peer(2));
        assert!(other.grow_to(25) && !other.grow_to(26));
        assert!(shares.of(peer(3)).grow_to(12));
        share.shrink_to(60);
        share.shrink_to(10);
        assert!(other.grow_to(45) && !other.grow_to(46));
        drop(share);
        assert!(other.grow_to(50));
        drop(other);
        assert!(shares.taken().peers.is_empty(), "nothing is kept of them");
    }

    #[test]
    fn however_many_take_what_they_can_something_is_left() {
        let shares = Shares::new(1 << 20);
        let mut held = Vec::new();
        for last in 1..=10 {
            let mut share = shares.of(peer(last));
            assert!(share.grow_to((1 << 20) >> last));
            held.push(share);
        }
        assert!(shares.of(peer(11)).grow_to(512));
    }
}
