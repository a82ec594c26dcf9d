//! A user's cgroup that has the container's name: the container's own, of a rootless runtime, or an imitation.

use super::{
    super::{super::reason, Shared, sums::Losses},
    Entry, Waiting,
};
use crate::observation::{ContainerId, Place};

impl Entry {
    /// Whether what stands in this cgroup is the container. A cgroup of the host's is; it takes the place of a user's,
    /// which then was an imitation. A user's is where nobody knows the container elsewhere.
    pub(in crate::container::containers) fn owns(&mut self, id: &ContainerId, shared: &mut Shared) -> bool {
        if !id.by_user {
            if self.kernel.as_ref().is_some_and(|kernel| kernel.by_user) {
                self.disown(shared);
            }
            return true;
        }
        let elsewhere = self.kernel.as_ref().is_some_and(|kernel| kernel.cgroup != id.cgroup);
        !elsewhere && self.description().is_none_or(|description| description.is_in(&id.cgroup))
    }

    /// Whether only a user's cgroup says that it is there.
    pub(in crate::container::containers) fn is_by_user(&self) -> bool {
        self.description().is_none() && self.kernel.as_ref().is_some_and(|kernel| kernel.by_user)
    }

    /// The runtime described it: a user's cgroup has to be the one that it says.
    pub(super) fn expose(&mut self, shared: &mut Shared) {
        let Some(kernel) = self.kernel.clone().filter(|kernel| kernel.by_user) else { return };
        if !self.owns(&kernel, shared) {
            self.disown(shared);
        }
    }

    /// Forgets what was told of an imitation; what of it waits goes on as nobody's.
    fn disown(&mut self, shared: &mut Shared) {
        for mut observation in shared.room.release(&mut self.queue) {
            shared.counts.without_container(reason::CLAIMED_BY_USER);
            observation.container = Place::Unknown(reason::CLAIMED_BY_USER);
            shared.out.push(observation);
        }
        // The answer that an imitation got, or waits for, is not the container's.
        if self.names.value().is_none() {
            self.waiting = Waiting::NotYet;
        }
        self.kernel = None;
        self.life = None;
        self.last = None;
        self.made = None;
        self.gone = None;
        self.early.clear();
        self.losses = Losses::default();
    }
}
