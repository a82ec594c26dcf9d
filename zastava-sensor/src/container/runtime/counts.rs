//! What the clients did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Since the start.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)+
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)+
        }

        impl Counters {
            pub(super) fn counts(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counts! {
    /// Runtimes that answered and were listed.
    connections,
    disconnections,
    /// Descriptions sent.
    descriptions,
    /// Containers that could not be described, with a reason.
    refusals,
    /// Events of runtimes.
    changes,
    /// Questions of the stage.
    asks,
    /// Questions over their rate or their bound.
    asks_refused,
    /// Descriptions forgotten for want of room; they are asked for again when they are needed.
    forgotten,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
