use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Requests by host and answer. Only hosts of the configuration are told apart: anybody may write any other into a pod.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<(String, &'static str), u64>>);

/// How many requests a host had and what it answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestCount {
    /// A host of the configuration, or `other`.
    pub host: String,
    /// `2xx`, `3xx`, `401`, `403`, `404`, `4xx`, `429`, `5xx`, or `error` where there was no answer.
    pub code: &'static str,
    pub count: u64,
}

impl Counts {
    pub(super) fn add(&self, host: &str, status: Option<u16>) {
        let code = match status {
            Some(200..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(401) => "401",
            Some(403) => "403",
            Some(404) => "404",
            Some(429) => "429",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
            None => "error",
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((host.to_owned(), code)).or_default() += 1;
    }

    pub(super) fn all(&self) -> Vec<RequestCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter();
        counts.map(|((host, code), count)| RequestCount { host: host.clone(), code, count: *count }).collect()
    }
}
