//! Verdicts of the backend, by repository, digest, namespace and labels.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use tokio::sync::Semaphore;
use zastava_common::{
    backend::{self, Backend, BackendError, ImageQuestion},
    config,
    evidence::{Digest, ImageReference},
    metric,
};

use super::{Question, in_time};
use crate::known::{Missing, Verdict, VerdictWord};

/// Labels of a pod or a template.
pub type Labels = Arc<BTreeMap<String, String>>;

/// How long those who ask the same at the same moment share an answer.
const TOGETHER: Duration = Duration::from_secs(1);
/// Questions of one moment.
const MAX_QUESTIONS: u64 = 1024;
/// Questions that are not answered yet. The backend's own, so that no registry takes their places.
const MAX_ASKED: usize = 512;

/// Labels that a controller makes up for each pod or each roll-out. They say nothing about an image, and with them no
/// two pods would be alike.
const GENERATED: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Those of `labels` that somebody chose.
pub fn labels(labels: &BTreeMap<String, String>) -> Labels {
    let chosen = labels.iter().filter(|(key, _)| !GENERATED.contains(&key.as_str()));
    Arc::new(chosen.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Asks the backend, and remembers. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Verdicts {
    backend: Backend,
    known: Cache<Key, Kept>,
    /// What is being asked.
    asked: Cache<Vec<Key>, Arc<BTreeMap<String, Kept>>>,
    places: Arc<Semaphore>,
    tenant: Arc<str>,
}

/// What a verdict depends on: the backend is told all of it, and may judge by any of it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Key {
    digest: String,
    /// With its host.
    repository: String,
    namespace: Arc<str>,
    labels: Labels,
}

#[derive(Clone, Debug)]
struct Kept {
    since: Instant,
    verdict: Arc<Verdict>,
    /// How long the backend stands by it.
    ttl: Option<Duration>,
}

/// What was found for one image: its place among those asked about, the verdict, and whether the backend was asked now.
pub(super) type Found = (usize, Result<Arc<Verdict>, Missing>, Option<Duration>);

impl Verdicts {
    pub(super) fn new(backend: Backend, tenant: &str, ttl: Duration, cache: &config::Cache) -> Self {
        let life = Life { positive: ttl, negative: cache.negative_seconds.seconds() };
        let weigher = |key: &Key, kept: &Kept| {
            let labels: usize = key.labels.iter().map(|(key, value)| key.len() + value.len() + 100).sum();
            let reasons: usize = kept.verdict.reasons.iter().map(|reason| reason.len() + 30).sum();
            u32::try_from(500 + key.repository.len() + key.namespace.len() + labels + reasons)
                .unwrap_or(u32::MAX)
        };
        Self {
            backend,
            known: Cache::builder()
                .max_capacity(cache.max_bytes.get() / 4)
                .weigher(weigher)
                .expire_after(life)
                .build(),
            asked: Cache::builder().max_capacity(MAX_QUESTIONS).time_to_live(TOGETHER).build(),
            places: Arc::new(Semaphore::new(MAX_ASKED)),
            tenant: tenant.into(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.known.weighted_size()
    }

    /// About all of these, in one question as a rule.
    pub(super) async fn of(
        &self,
        images: Vec<(usize, ImageReference, Digest)>,
        question: &Question,
    ) -> Vec<Found> {
        let namespace: Arc<str> = question.namespace.as_str().into();
        let key = |image: &ImageReference, digest: &Digest| Key {
            digest: digest.to_string(),
            repository: image.name(),
            namespace: Arc::clone(&namespace),
            labels: Arc::clone(&question.labels),
        };
        let mut found = Vec::new();
        let mut wanted = Vec::new();
        for (at, image, digest) in images {
            let key = key(&image, &digest);
            match self.known.get(&key).await {
                Some(Kept { since, verdict, .. })
                    if question.max_age.is_none_or(|most| since.elapsed() <= most) =>
                {
                    found.push((at, Ok(verdict), Some(since.elapsed())));
                }
                _ => wanted.push((at, image, key)),
            }
        }
        for wanted in rounds(wanted) {
            let asked = self.ask(&wanted, question).await;
            found.extend(wanted.into_iter().map(|(at, _, key)| {
                let verdict = match &asked {
                    Ok(verdicts) => match verdicts.get(&key.digest) {
                        Some(kept) => Ok(Arc::clone(&kept.verdict)),
                        None => Ok(Arc::new(Verdict {
                            word: VerdictWord::Unknown,
                            reasons: Vec::new(),
                            has_sbom: false,
                        })),
                    },
                    Err(missing) => Err(missing.clone()),
                };
                (at, verdict, None)
            }));
        }
        found
    }

    /// One question for all who ask the same now. It goes on when the request that began it is out of time.
    async fn ask(
        &self,
        wanted: &[Wanted],
        question: &Question,
    ) -> Result<Arc<BTreeMap<String, Kept>>, Missing> {
        let mut keys: Vec<Key> = wanted.iter().map(|(_, _, key)| key.clone()).collect();
        keys.sort();
        keys.dedup();
        let references: Vec<(String, String)> =
            wanted.iter().map(|(_, image, key)| (image.to_string(), key.digest.clone())).collect();
        if question.max_age.is_some() {
            self.asked.invalidate(&keys).await;
        }
        let (this, namespace, labels) =
            (self.clone(), question.namespace.clone(), Arc::clone(&question.labels));
        let task = tokio::spawn(async move {
            let load = async {
                let _place = this.places.try_acquire().map_err(|_| Missing::Backend {
                    why: format!("the backend has {MAX_ASKED} questions that it has not answered"),
                    outage: true,
                })?;
                let verdicts = this.load(&namespace, &labels, &references).await;
                verdicts
                    .map_err(|error| Missing::Backend { why: error.to_string(), outage: error.is_outage() })
            };
            let asked = this.asked.try_get_with(keys.clone(), load).await;
            let asked = asked.map_err(|missing: Arc<Missing>| (*missing).clone())?;
            for key in keys {
                if let Some(kept) = asked.get(&key.digest) {
                    this.known.insert(key, kept.clone()).await;
                }
            }
            Ok(asked)
        });
        in_time(task, question.deadline).await
    }

    async fn load(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        references: &[(String, String)],
    ) -> Result<Arc<BTreeMap<String, Kept>>, BackendError> {
        let images = references.iter();
        let images = images.map(|(reference, digest)| ImageQuestion { reference: reference.clone(), digest });
        let question =
            backend::Question { tenant: &self.tenant, namespace, labels, images: images.collect() };
        let begun = Instant::now();
        let verdicts = self.backend.verdicts(&question).await;
        let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
        metrics::histogram!(metric::BACKEND_LATENCY, "endpoint" => "policy").record(milliseconds);
        let verdicts = verdicts.inspect_err(|error| {
            metrics::counter!(metric::BACKEND_FAILURES).increment(1);
            tracing::warn!(cause = error.code(), "no verdict of the backend: {error}");
        })?;
        let kept = |verdict| Kept { since: Instant::now(), verdict: Arc::new(verdict), ttl: verdicts.ttl };
        let results = verdicts.results.into_iter();
        Ok(Arc::new(results.map(|(digest, verdict)| (digest, kept(word(verdict)))).collect()))
    }
}

fn word(backend::Verdict { verdict, has_sbom, reasons, .. }: backend::Verdict) -> Verdict {
    let word = match verdict {
        backend::Decision::Pass => VerdictWord::Pass,
        backend::Decision::Warn => VerdictWord::Warn,
        backend::Decision::Fail => VerdictWord::Fail,
        backend::Decision::Unknown => VerdictWord::Unknown,
    };
    Verdict { word, reasons, has_sbom: has_sbom.unwrap_or(false) }
}

type Wanted = (usize, ImageReference, Key);

/// One for each question: an answer goes by digest, so that one digest in two repositories is asked about twice.
fn rounds(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut rounds: Vec<Vec<Wanted>> = Vec::new();
    for one in wanted {
        let fits = |round: &&mut Vec<Wanted>| {
            round.iter().all(|(_, _, key)| key.digest != one.2.digest || key.repository == one.2.repository)
        };
        match rounds.iter_mut().find(fits) {
            Some(round) => round.push(one),
            None => rounds.push(vec![one]),
        }
    }
    rounds
}

/// How long a verdict is remembered: never longer than the backend stands by it, and a no for a short time.
#[derive(Clone, Copy, Debug)]
struct Life {
    positive: Duration,
    negative: Duration,
}

impl Expiry<Key, Kept> for Life {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        let ours = match kept.verdict.word {
            VerdictWord::Pass | VerdictWord::Warn => self.positive,
            VerdictWord::Fail | VerdictWord::Unknown => self.negative,
        };
        Some(kept.ttl.map_or(ours, |theirs| theirs.min(ours)))
    }

    fn expire_after_update(
        &self,
        key: &Key,
        kept: &Kept,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, kept, now)
    }
}

#[cfg(test)]
mod tests {
    use zastava_common::{backend::BackendSettings, evidence::registry::PullSecrets};

    use super::*;

    #[tokio::test]
    async fn a_backend_that_does_not_answer_has_a_number_of_questions_and_no_more() {
        // It takes connections and says nothing.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = BackendSettings {
            base_address: format!("http://{}", listener.local_addr().unwrap()),
            policy_path: "/policy".to_owned(),
            within: Duration::from_mins(1),
            authorities: Vec::new(),
            certificate: None,
            authority: None,
        };
        let backend = Backend::new(&settings).unwrap();
        let verdicts = Verdicts {
            places: Arc::new(Semaphore::new(1)),
            ..Verdicts::new(backend, "acme", Duration::from_mins(5), &config::Cache::default())
        };
        let ask = async |image: &str| {
            let question = Question {
                namespace: "shop".to_owned(),
                labels: Labels::default(),
                secrets: Arc::new(PullSecrets::default()),
                deadline: Instant::now() + Duration::from_secs(2),
                max_age: None,
            };
            let image: ImageReference = image.parse().unwrap();
            let digest = Digest::sha256(image.to_string().as_bytes());
            verdicts.of(vec![(0, image, digest)], &question).await.remove(0).1
        };
        // Who asks the same takes no place of its own.
        let (first, same) = tokio::join!(ask("r.test/a"), ask("r.test/a"));
        assert_eq!((first, same), (Err(Missing::Deadline), Err(Missing::Deadline)));
        let other = ask("r.test/b").await;
        assert!(matches!(other, Err(Missing::Backend { outage: true, .. })), "{other:?}");
    }

    #[test]
    fn one_question_asks_about_a_digest_in_one_repository_alone() {
        let wanted = |image: &str, digest: &str| {
            let image: ImageReference = image.parse().unwrap();
            let key = Key {
                digest: digest.to_owned(),
                repository: image.name(),
                namespace: "shop".into(),
                labels: Labels::default(),
            };
            (0, image, key)
        };
        let all = [("r.test/a:1", "d"), ("r.test/b", "d"), ("r.test/b", "e"), ("r.test/a:2", "d")];
        let rounds = rounds(all.map(|(image, digest)| wanted(image, digest)).into());
        let names = |round: &Vec<Wanted>| {
            round.iter().map(|(_, image, key)| format!("{}@{}", image.name(), key.digest)).collect::<Vec<_>>()
        };
        let names: Vec<_> = rounds.iter().map(names).collect();
        assert_eq!(names, [vec!["r.test/a@d", "r.test/b@e", "r.test/a@d"], vec!["r.test/b@d"]]);
    }
}
