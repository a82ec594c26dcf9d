//! How long there is to answer: the API server says it in the address, `?timeout=10s`, as Go writes durations.

use std::time::Duration;

/// What Kubernetes takes where nothing is said.
const DEFAULT: Duration = Duration::from_secs(10);
/// The most that Kubernetes allows.
const MOST: Duration = Duration::from_secs(30);

/// Until the answer must leave, `margin` before the API server gives up; half the time where that is more.
pub(super) fn until(query: Option<&str>, margin: Duration) -> Duration {
    let timeout = query.and_then(timeout).unwrap_or(DEFAULT).min(MOST);
    timeout.saturating_sub(margin).max(timeout / 2)
}

fn timeout(query: &str) -> Option<Duration> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    duration(value).filter(|timeout| !timeout.is_zero())
}

/// `10s`, `1m30s`, `500ms`, `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "%C2%B5s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = behind;
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::until;

    const MARGIN: Duration = Duration::from_millis(300);

    #[test]
    fn the_answer_leaves_before_the_api_server_gives_up() {
        assert_eq!(until(Some("timeout=10s"), MARGIN), Duration::from_millis(9_700));
        assert_eq!(until(Some("a=b&timeout=1m0s"), MARGIN), Duration::from_millis(29_700));
        assert_eq!(until(Some("timeout=1.5s"), MARGIN), Duration::from_millis(1_200));
        assert_eq!(until(Some("timeout=100ms"), MARGIN), Duration::from_millis(50));
    }

    #[test]
    fn without_a_word_it_is_as_kubernetes_has_it() {
        for query in
            [None, Some(""), Some("timeout="), Some("timeout=5"), Some("timeout=s"), Some("timeout=0s")]
        {
            assert_eq!(until(query, MARGIN), Duration::from_millis(9_700), "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic_or_wait_longer_than_kubernetes(query in "(timeout=)?[0-9a-z.&=%]{0,40}") {
            prop_assert!(until(Some(&query), MARGIN) <= Duration::from_secs(30));
        }
    }
}
