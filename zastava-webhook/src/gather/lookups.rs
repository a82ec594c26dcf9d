//! Places for look-ups. These outlive the requests that began them, so that requests do not bound them.
//!
//! One slow registry must not take the places of all others, and who may create a pod may name as many registries as
//! they like. So each registry has a share, and those that the configuration does not name leave room for those that it
//! does. Of a registry's share one namespace has a part, so that its pods do not make those of others wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};
use zastava_common::evidence::reference::Host;

use crate::known::Missing;

/// Look-ups that may wait for each that is under way.
const WAITING: usize = 32;
/// One of so many parts of the places is the most that one registry has.
const SHARES: usize = 4;
/// One of so many parts of a registry's places is the most that one namespace has.
const PARTS: usize = 2;
/// A registry that takes its time with each of many answers must not keep its places for ever.
const LONGEST: Duration = Duration::from_mins(1);

/// Whose answers a look-up waits for.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    pub(super) host: Host,
    /// The configuration names it.
    pub(super) listed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Lookups {
    /// At once.
    most: usize,
    /// Under way or waiting.
    begun: Arc<Mutex<Begun>>,
    under_way: Arc<Semaphore>,
    unlisted: Arc<Semaphore>,
    longest: Duration,
}

#[derive(Debug, Default)]
struct Begun {
    all: usize,
    unlisted: usize,
    /// Those with a look-up that has begun, and no others.
    registries: HashMap<Host, Share>,
}

#[derive(Debug)]
struct Share {
    part: Part,
    /// Those with a look-up that has begun, and no others.
    namespaces: HashMap<String, Part>,
}

#[derive(Debug)]
struct Part {
    begun: usize,
    under_way: Arc<Semaphore>,
}

/// A look-up's place, until it is dropped.
struct Place<'a> {
    lookups: &'a Lookups,
    registry: Registry,
    namespace: String,
    of_namespace: Arc<Semaphore>,
    of_registry: Arc<Semaphore>,
}

impl Lookups {
    /// `most`: at once.
    pub(super) fn new(most: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            most,
            begun: Arc::default(),
            under_way: places(most),
            unlisted: places(of_unlisted(most)),
            longest: LONGEST,
        }
    }

    /// `namespace`: of who asks.
    pub(super) async fn run<T>(
        &self,
        registry: Registry,
        namespace: String,
        load: impl Future<Output = T>,
    ) -> Result<T, Missing> {
        let place = self.begin(registry, namespace)?;
        // In this order everywhere: whoever waits for a place that all share keeps none from others.
        let _part = place.of_namespace.acquire().await.map_err(|_| Missing::Busy)?;
        let _share = place.of_registry.acquire().await.map_err(|_| Missing::Busy)?;
        let _unlisted = if place.registry.listed {
            None
        } else {
            Some(self.unlisted.acquire().await.map_err(|_| Missing::Busy)?)
        };
        let _under_way = self.under_way.acquire().await.map_err(|_| Missing::Busy)?;
        timeout(self.longest, load).await.map_err(|_| Missing::Deadline)
    }

    fn begin(&self, registry: Registry, namespace: String) -> Result<Place<'_>, Missing> {
        let most = self.most * (1 + WAITING);
        let Registry { host, listed } = &registry;
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let share = begun.registries.get(host);
        let of_registry = share.map_or(0, |share| share.part.begun);
        let of_namespace =
            share.and_then(|share| share.namespaces.get(&namespace)).map_or(0, |part| part.begun);
        if begun.all == most
            || of_registry == of_one(most)
            || of_namespace == of_tenant(most)
            || (!listed && begun.unlisted == of_unlisted(most))
        {
            return Err(Missing::Busy);
        }
        begun.all += 1;
        begun.unlisted += usize::from(!listed);
        let share = begun
            .registries
            .entry(host.clone())
            .or_insert_with(|| Share { part: Part::new(of_one(self.most)), namespaces: HashMap::new() });
        let of_registry = share.part.begin();
        let part = share.namespaces.entry(namespace.clone());
        let of_namespace = part.or_insert_with(|| Part::new(of_tenant(self.most))).begin();
        Ok(Place { lookups: self, registry, namespace, of_namespace, of_registry })
    }
}

impl Part {
    fn new(places: usize) -> Self {
        Self { begun: 0, under_way: Arc::new(Semaphore::new(places)) }
    }

    fn begin(&mut self) -> Arc<Semaphore> {
        self.begun += 1;
        Arc::clone(&self.under_way)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Registry { host, listed } = &self.registry;
        let mut begun = self.lookups.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.all -= 1;
        begun.unlisted -= usize::from(!listed);
        let Some(share) = begun.registries.get_mut(host) else { return };
        if let Some(part) = share.namespaces.get_mut(&self.namespace) {
            part.begun -= 1;
            if part.begun == 0 {
                share.namespaces.remove(&self.namespace);
            }
        }
        share.part.begun -= 1;
        if share.part.begun == 0 {
            begun.registries.remove(host);
        }
    }
}

/// What one registry has of so many places.
fn of_one(places: usize) -> usize {
    places.div_ceil(SHARES)
}

/// What one namespace has of a registry's.
fn of_tenant(places: usize) -> usize {
    of_one(places).div_ceil(PARTS)
}

/// What those that are not listed have together.
fn of_unlisted(places: usize) -> usize {
    (places - places / SHARES).max(1)
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::Pin,
    };

    use futures_util::future::poll_immediate;

    use super::*;

    fn unlisted(host: &str) -> Registry {
        Registry { host: host.parse().unwrap(), listed: false }
    }

    fn listed(host: &str) -> Registry {
        Registry { listed: true, ..unlisted(host) }
    }

    type Begun<'a> = Pin<Box<dyn Future<Output = Result<(), Missing>> + 'a>>;

    /// Begins look-ups of as many namespaces as it takes until the registry has no place.
    async fn fill(lookups: &Lookups, registry: Registry) -> Vec<Begun<'_>> {
        let mut begun = Vec::new();
        for namespace in ["a", "b"] {
            begun.extend(fill_from(lookups, registry.clone(), namespace).await);
        }
        begun
    }

    /// Begins look-ups without an end until one is refused.
    async fn fill_from<'a>(lookups: &'a Lookups, registry: Registry, namespace: &str) -> Vec<Begun<'a>> {
        let mut begun: Vec<Begun<'_>> = Vec::new();
        loop {
            let mut one: Begun<'_> =
                Box::pin(lookups.run(registry.clone(), namespace.to_owned(), pending::<()>()));
            match poll_immediate(one.as_mut()).await {
                None => begun.push(one),
                Some(refused) => {
                    assert_eq!(refused, Err(Missing::Busy));
                    return begun;
                }
            }
        }
    }

    async fn at_once(lookups: &Lookups, registry: Registry) -> Option<Result<(), Missing>> {
        at_once_from(lookups, registry, "c").await
    }

    async fn at_once_from(
        lookups: &Lookups,
        registry: Registry,
        namespace: &str,
    ) -> Option<Result<(), Missing>> {
        poll_immediate(Box::pin(lookups.run(registry, namespace.to_owned(), ready(())))).await
    }

    #[tokio::test]
    async fn a_registry_whose_look_ups_never_end_is_busy_alone() {
        let lookups = Lookups::new(8);
        let mut begun = fill(&lookups, listed("slow.test")).await;
        assert_eq!(begun.len(), 8 * (1 + WAITING) / SHARES);
        assert_eq!(at_once(&lookups, listed("slow.test")).await, Some(Err(Missing::Busy)));
        for other in [listed("other.test"), unlisted("third.test")] {
            assert_eq!(at_once(&lookups, other).await, Some(Ok(())));
        }
        begun.pop();
        assert_eq!(at_once(&lookups, listed("slow.test")).await, None, "it may wait again");
    }

    #[tokio::test]
    async fn a_namespace_that_asks_for_all_it_can_leaves_half_of_a_registry_to_others() {
        let lookups = Lookups::new(16);
        let greedy = fill_from(&lookups, listed("reg.test"), "greedy").await;
        assert_eq!(greedy.len(), of_one(16 * (1 + WAITING)) / PARTS);
        assert_eq!(at_once_from(&lookups, listed("reg.test"), "greedy").await, Some(Err(Missing::Busy)));
        // Not even behind those that wait.
        assert_eq!(at_once_from(&lookups, listed("reg.test"), "shop").await, Some(Ok(())));
        assert_eq!(at_once_from(&lookups, listed("other.test"), "greedy").await, Some(Ok(())));
        drop(greedy);
        assert_eq!(at_once_from(&lookups, listed("reg.test"), "greedy").await, Some(Ok(())));
        assert!(lookups.begun.lock().unwrap().registries.is_empty(), "nothing is kept of it");
    }

    #[tokio::test]
    async fn registries_that_a_pod_made_up_leave_room_for_those_of_the_configuration() {
        let lookups = Lookups::new(8);
        let mut all = Vec::new();
        for number in 0..20 {
            all.extend(fill(&lookups, unlisted(&format!("r{number}.test"))).await);
        }
        assert_eq!(all.len(), of_unlisted(8 * (1 + WAITING)));
        assert_eq!(at_once(&lookups, unlisted("new.test")).await, Some(Err(Missing::Busy)));
        assert_eq!(at_once(&lookups, listed("reg.test")).await, Some(Ok(())));
        drop(all);
        assert!(lookups.begun.lock().unwrap().registries.is_empty(), "nothing is kept of them");
        assert_eq!(at_once(&lookups, unlisted("new.test")).await, Some(Ok(())));
    }

    #[tokio::test]
    async fn more_look_ups_than_may_wait_are_refused_at_once() {
        let lookups = Lookups::new(4);
        let mut all = Vec::new();
        for number in 0..SHARES {
            all.extend(fill(&lookups, listed(&format!("r{number}.test"))).await);
        }
        assert_eq!(all.len(), 4 * (1 + WAITING));
        assert_eq!(at_once(&lookups, listed("new.test")).await, Some(Err(Missing::Busy)));
    }

    #[tokio::test]
    async fn one_place_is_enough_for_anybody() {
        let lookups = Lookups::new(1);
        assert_eq!(at_once(&lookups, unlisted("reg.test")).await, Some(Ok(())));
    }

    #[tokio::test]
    async fn a_look_up_without_end_gives_its_place_back() {
        let lookups = Lookups { longest: Duration::from_millis(20), ..Lookups::new(1) };
        let registry = || unlisted("reg.test");
        let from = || "a".to_owned();
        let both = tokio::join!(
            lookups.run(registry(), from(), pending::<()>()),
            lookups.run(registry(), from(), ready(()))
        );
        assert_eq!(both, (Err(Missing::Deadline), Ok(())));
    }
}
