//! One request, from the question to the decision: the same for the server and for the command line.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use zastava_common::{config::Controllers, evidence::registry::PullSecrets};

use crate::{
    decision::{Answer, Asked, Decision, decide},
    gather::{Depth, Gatherer, Question},
    images::{Nothing, Workload},
    known::Known,
    policy::{Policy, Rules},
    secrets::Secrets,
};

/// A policy and what it is answered with. Replaced as a whole when the configuration changes.
#[derive(Clone, Debug)]
pub struct Engine {
    policy: Arc<Policy>,
    gatherer: Gatherer,
    /// `None`: pods' pull secrets are not read.
    secrets: Option<Secrets>,
    /// No refusal rests on facts older than this.
    negative: Duration,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// There was nothing to look at.
    Nothing(Nothing),
    /// It is of a kind that the policy leaves alone.
    Ignored,
    Decided {
        decision: Decision,
        depth: Depth,
    },
}

impl Engine {
    pub fn new(policy: Policy, gatherer: Gatherer, secrets: Option<Secrets>, negative: Duration) -> Self {
        Self { policy: Arc::new(policy), gatherer, secrets, negative }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub fn gatherer(&self) -> &Gatherer {
        &self.gatherer
    }

    /// Decides by `deadline`, with whatever is known then.
    pub async fn admit(&self, workload: &Workload, namespace: &str, deadline: Instant) -> Outcome {
        let rules = self.policy.rules(namespace);
        if !workload.is_pod && rules.controllers == Controllers::Ignore {
            return Outcome::Ignored;
        }
        self.judge(workload, namespace, rules, deadline).await
    }

    /// Judges a workload as it would be in `namespace`.
    pub async fn judge(
        &self,
        workload: &Workload,
        namespace: &str,
        rules: &Arc<Rules>,
        deadline: Instant,
    ) -> Outcome {
        let asked: Vec<Asked> =
            workload.images.iter().map(|image| Asked::new(image.clone(), rules)).collect();
        let now = Instant::now();
        // An API server that says nothing takes no time from registries: their answers count without it too.
        let half = now + deadline.saturating_duration_since(now) / 2;
        let (secrets, missing) = match &self.secrets {
            Some(secrets) => secrets.of(namespace, &workload.pull_secrets, half).await,
            None => (PullSecrets::default(), None),
        };
        let mut question = Question {
            namespace: namespace.to_owned(),
            labels: crate::gather::labels(&workload.labels),
            secrets: Arc::new(secrets),
            deadline,
            max_age: None,
        };
        let (decision, depth, oldest) = self.ask(workload, &asked, rules, &question, missing.as_ref()).await;
        if decision.answer == Answer::Allow || oldest <= self.negative {
            return Outcome::Decided { decision, depth };
        }
        // Somebody may have signed it since: a no is never given from memory that is not fresh.
        question.max_age = Some(self.negative);
        let (decision, depth, _) = self.ask(workload, &asked, rules, &question, missing.as_ref()).await;
        Outcome::Decided { decision, depth }
    }

    async fn ask(
        &self,
        workload: &Workload,
        asked: &[Asked],
        rules: &Arc<Rules>,
        question: &Question,
        missing_secret: Option<&crate::known::Missing>,
    ) -> (Decision, Depth, Duration) {
        let references: Vec<_> = asked.iter().filter_map(|asked| asked.needs(rules)).cloned().collect();
        let gathered = self.gatherer.gather(&references, rules, question).await;
        let mut known = gathered.known.into_iter();
        let images = asked.iter().map(|asked| {
            let known = match asked.needs(rules) {
                Some(image) => {
                    let own = question.secrets.find(image).is_some();
                    known.next().unwrap_or_default().explained_by(missing_secret, own)
                }
                None => Known::default(),
            };
            (asked.clone(), known)
        });
        (decide(workload, rules, images.collect()), gathered.depth, gathered.oldest)
    }
}
