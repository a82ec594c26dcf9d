//! A pod's owner by the habits of Kubernetes' own controllers, for when the API server cannot be asked.
//!
//! Whoever makes a pod by hand can give it such labels: what comes of this is marked as derived.

use crate::container::description::Owner;

/// Letters and digits of generated names (k8s.io/apimachinery/pkg/util/rand).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Random letters at the end of a generated name.
const SUFFIX: usize = 5;

/// From the pod's name and a look at its labels.
pub(super) fn derived<'a>(pod: &str, label: impl Fn(&str) -> Option<&'a str>) -> Option<Owner> {
    let owner = |kind: &str, name: &str| {
        (!name.is_empty()).then(|| Owner { kind: kind.to_owned(), name: name.to_owned(), derived: true })
    };
    if let Some(hash) = label("pod-template-hash") {
        let set = generated(pod)?;
        return owner("Deployment", set.strip_suffix(hash)?.strip_suffix('-')?);
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name")) {
        return match scheduled(job) {
            Some(cron) => owner("CronJob", cron),
            None => owner("Job", job),
        };
    }
    if label("controller-revision-hash").is_some() {
        if label("statefulset.kubernetes.io/pod-name").is_some() {
            let (set, ordinal) = pod.rsplit_once('-')?;
            let is_ordinal = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
            return if is_ordinal { owner("StatefulSet", set) } else { None };
        }
        if label("pod-template-generation").is_some() {
            return owner("DaemonSet", generated(pod)?);
        }
    }
    None
}

/// A name without what was generated at its end.
fn generated(name: &str) -> Option<&str> {
    let (base, suffix) = name.rsplit_once('-')?;
    let random = suffix.len() == SUFFIX && suffix.chars().all(|letter| GENERATED.contains(letter));
    random.then_some(base)
}

/// A CronJob's jobs have the scheduled minute since 1970 at the end of their names: eight digits from 1989 to 2160.
fn scheduled(job: &str) -> Option<&str> {
    let (base, minute) = job.rsplit_once('-')?;
    (minute.len() == 8 && minute.bytes().all(|byte| byte.is_ascii_digit())).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pod: &str, labels: &[(&str, &'static str)]) -> Option<(String, String)> {
        let label = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        derived(pod, label).map(|owner| {
            assert!(owner.derived);
            (owner.kind, owner.name)
        })
    }

    #[test]
    fn each_controller_is_known_by_its_habits() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], (&'static str, &'static str));
        let cases: [Case; 6] = [
            ("api-7c9fbbd8b7-ktd84", &[("pod-template-hash", "7c9fbbd8b7")], ("Deployment", "api")),
            (
                "db-0",
                &[("controller-revision-hash", "db-1"), ("statefulset.kubernetes.io/pod-name", "db-0")],
                ("StatefulSet", "db"),
            ),
            (
                "node-agent-x7k2p",
                &[("controller-revision-hash", "1"), ("pod-template-generation", "1")],
                ("DaemonSet", "node-agent"),
            ),
            ("backup-29406540-abcde", &[("job-name", "backup-29406540")], ("CronJob", "backup")),
            ("migrate-xk2p4", &[("batch.kubernetes.io/job-name", "migrate")], ("Job", "migrate")),
            ("a-b-5d4-zz222", &[("pod-template-hash", "5d4")], ("Deployment", "a-b")),
        ];
        for (pod, labels, (kind, name)) in cases {
            assert_eq!(of(pod, labels), Some((kind.to_owned(), name.to_owned())), "{pod}");
        }
    }

    #[test]
    fn what_fits_no_habit_has_no_owner() {
        assert_eq!(of("api", &[]), None);
        assert_eq!(of("api-7c9fbbd8b7-ktd84", &[("pod-template-hash", "other")]), None);
        assert_eq!(of("7c9-ktd84", &[("pod-template-hash", "7c9")]), None);
        assert_eq!(
            of("db-x", &[("controller-revision-hash", "1"), ("statefulset.kubernetes.io/pod-name", "db-x")]),
            None
        );
        assert_eq!(of("-29406540", &[("job-name", "-29406540")]), None);
    }
}
