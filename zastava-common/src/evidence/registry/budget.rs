//! What one look-up may ask of a registry.
//!
//! Whoever may push can pile up evidence beside an image. It must come to a refusal, and not to a look-up that is out of
//! time, which a namespace may excuse: so each look-up has an end of its own, far behind what builders and signers write
//! and some seconds before any deadline of a registry that answers.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::evidence::{Fault, reference::Host};

/// How many questions one look-up asks at once, and how many things of one kind are looked at together: referrers or
/// layers of a subject, platforms of an index. A quarter of what may be under way to one place, so that whoever piles up
/// platforms leaves the rest to other look-ups.
pub(crate) const AT_ONCE: usize = 4;

/// Questions. An index of 20 platforms, each with layers to compare, signature, provenance and a large SBOM of its own,
/// takes some 330.
const QUESTIONS: usize = 512;

/// Bytes of manifests, lists and blobs: four of the largest attestations.
const BYTES: usize = 64 << 20;

/// Bytes of memory for what is looked at of manifests: 64 signatures below each of cosign's tags, with their
/// certificates, are less.
const KEPT: usize = 3 << 19;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget {
    questions: AtomicUsize,
    bytes: AtomicUsize,
    kept: AtomicUsize,
    turns: Semaphore,
    large: Semaphore,
    exceeded: OnceLock<Fault>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            questions: AtomicUsize::new(QUESTIONS),
            bytes: AtomicUsize::new(BYTES),
            kept: AtomicUsize::new(KEPT),
            turns: Semaphore::new(AT_ONCE),
            large: Semaphore::new(1),
            exceeded: OnceLock::new(),
        }
    }
}

impl Budget {
    /// To be asked before a question.
    pub(super) fn ask(&self, host: &Host) -> Result<(), Fault> {
        self.questions(host, 1)
    }

    /// To be held while a question is under way, and no longer: who has one waits for nobody else who wants one.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// To be held while a large blob is asked for and looked at, one by one: what a look-up has of its registry's memory
    /// it would wait for itself. In the meantime [`AT_ONCE`] others could have been asked for, which it costs.
    pub(crate) async fn alone(&self, host: &Host) -> Result<Option<SemaphorePermit<'_>>, Fault> {
        self.questions(host, AT_ONCE - 1)?;
        // It is never closed.
        Ok(self.large.acquire().await.ok())
    }

    /// To be told of so many bytes that are or were read.
    pub(super) fn read(&self, host: &Host, bytes: usize) -> Result<(), Fault> {
        self.take(&self.bytes, bytes, || Fault::TooLarge {
            host: host.to_string(),
            what: "all evidence about one image".to_owned(),
            limit: BYTES,
        })
    }

    /// To be told of a manifest that takes so many bytes of memory.
    pub(super) fn keep(&self, host: &Host, bytes: usize) -> Result<(), Fault> {
        self.take(&self.kept, bytes, || Fault::TooLarge {
            host: host.to_string(),
            what: "what is looked at of one image's manifests".to_owned(),
            limit: KEPT,
        })
    }

    /// Why not everything was looked at, if not.
    pub(crate) fn exceeded(&self) -> Option<&Fault> {
        self.exceeded.get()
    }

    fn questions(&self, host: &Host, count: usize) -> Result<(), Fault> {
        let what = "pieces of evidence about one image";
        self.take(&self.questions, count, || Fault::TooMany {
            host: host.to_string(),
            what,
            limit: QUESTIONS,
        })
    }

    /// Takes nothing where less is left.
    fn take(&self, left: &AtomicUsize, count: usize, fault: impl FnOnce() -> Fault) -> Result<(), Fault> {
        let less = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count));
        less.map(drop).map_err(|_| self.exceeded.get_or_init(fault).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_look_up_asks_beyond_its_budget_is_refused_and_no_outage() {
        let (budget, host) = (Budget::default(), "reg.test".parse().unwrap());
        assert_eq!(budget.exceeded(), None);
        for _ in 0..QUESTIONS - AT_ONCE {
            assert_eq!(budget.ask(&host), Ok(()));
        }
        assert_eq!(budget.read(&host, BYTES), Ok(()));
        assert_eq!(budget.keep(&host, KEPT), Ok(()));
        budget.ask(&host).unwrap();
        drop(budget.alone(&host).await.unwrap());
        let too_much = [
            budget.ask(&host),
            budget.alone(&host).await.map(drop),
            budget.read(&host, 1),
            budget.keep(&host, 1),
        ];
        for fault in too_much {
            let fault = fault.unwrap_err();
            assert_eq!((fault.code(), fault.is_outage()), ("registry_too_much", false), "{fault}");
            assert!(fault.is_definitive(), "{fault}");
        }
        assert_eq!(budget.read(&host, 0), Ok(()));
        assert!(budget.exceeded().is_some());
    }
}
