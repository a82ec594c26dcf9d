//! Which labels and annotations go into descriptions.

use std::collections::BTreeMap;

use crate::container::description::{Labels, MAX_LABEL_BYTES, MAX_LABELS};

/// Labels or annotations as a runtime has them, before any are chosen.
pub(super) type Texts = BTreeMap<String, String>;

/// Keys that are let through: whole, or all that begin in a certain way (`app.kubernetes.io/*`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowList(Vec<Pattern>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    Key(String),
    Prefix(String),
}

impl<T: AsRef<str>> FromIterator<T> for AllowList {
    fn from_iter<I: IntoIterator<Item = T>>(patterns: I) -> Self {
        let pattern = |pattern: T| match pattern.as_ref().strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Key(pattern.as_ref().to_owned()),
        };
        Self(patterns.into_iter().map(pattern).collect())
    }
}

impl AllowList {
    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Key(whole) => whole == key,
            Pattern::Prefix(prefix) => key.starts_with(prefix.as_str()),
        })
    }

    /// What of these may be kept. Where a key comes twice the later one counts: a container's own label goes before
    /// its pod's.
    pub(super) fn keep<'a>(&self, all: impl IntoIterator<Item = (&'a String, &'a String)>) -> Labels {
        let mut labels = Labels::default();
        let mut bytes = 0;
        for (key, value) in all {
            if !self.has(key) {
                continue;
            }
            let before = labels.kept.get(key).map(|value: &String| key.len() + value.len());
            let with = bytes - before.unwrap_or(0) + key.len() + value.len();
            if with > MAX_LABEL_BYTES || (before.is_none() && labels.kept.len() >= MAX_LABELS) {
                labels.omitted = labels.omitted.saturating_add(1);
                continue;
            }
            bytes = with;
            labels.kept.insert(key.clone(), value.clone());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_beginnings_are_let_through_and_nothing_else() {
        let allow: AllowList = ["app", "app.kubernetes.io/*"].into_iter().collect();
        let all = [
            ("app", "web"),
            ("apple", "pie"),
            ("app.kubernetes.io/name", "\"quoted\"\nname"),
            ("secret", "x"),
            ("app", "own"),
        ];
        let all = all.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let all = || all.iter().map(|(key, value)| (key, value));
        let labels = allow.keep(all());
        let kept: Vec<_> = labels.kept.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("app", "own"), ("app.kubernetes.io/name", "\"quoted\"\nname")]);
        assert_eq!(labels.omitted, 0);
        assert_eq!(AllowList::default().keep(all()), Labels::default());
    }

    #[test]
    fn a_star_alone_lets_everything_through() {
        let allow: AllowList = ["*"].into_iter().collect();
        let texts: Texts = [("", ""), ("x", "y")].map(|(key, value)| (key.into(), value.into())).into();
        assert_eq!(allow.keep(&texts).kept.len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_within_the_bounds(
            all in prop::collection::vec(("[a-c]{1,3}", "x{0,600}"), 0..200)
        ) {
            let allow: AllowList = ["*"].into_iter().collect();
            let labels = allow.keep(all.iter().map(|(key, value)| (key, value)));
            let bytes: usize = labels.kept.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert!(labels.kept.len() <= MAX_LABELS && bytes <= MAX_LABEL_BYTES);
            let keys: std::collections::HashSet<_> = all.iter().map(|(key, _)| key).collect();
            prop_assert!(labels.omitted > 0 || labels.kept.len() == keys.len());
        }
    }
}
