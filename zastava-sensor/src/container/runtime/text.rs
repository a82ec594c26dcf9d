//! Texts, numbers and times as runtimes write them, checked and bounded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client::Failure;
use crate::container::description::{
    Entrypoint, MAX_ENTRYPOINT, MAX_ENTRYPOINT_BYTES, MAX_MOUNTS, MAX_TEXT, Mount, Mounts,
};

/// A text that names something: whole, or not at all. Control characters are the reader's to escape.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Failure> {
    if bytes.len() > MAX_TEXT {
        return Err(Failure::TooLarge("a name of more than 4096 bytes"));
    }
    str::from_utf8(bytes).map_err(|_| Failure::Malformed("a name that is no UTF-8"))
}

/// As [`text`], for what serde read already.
pub(super) fn bounded(text: String) -> Result<String, Failure> {
    if text.len() > MAX_TEXT {
        return Err(Failure::TooLarge("a name of more than 4096 bytes"));
    }
    Ok(text)
}

/// An id as the kernel can name a cgroup after it: a single, printable component.
pub(super) fn id(bytes: &[u8]) -> Result<&str, Failure> {
    let id = str::from_utf8(bytes).map_err(|_| Failure::Malformed("an id that is no UTF-8"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > 255 || !id.bytes().all(plain) {
        return Err(Failure::Malformed("an id of another form"));
    }
    Ok(id)
}

/// The digest of something: `sha256:` and 64 hex digits.
pub(super) fn digest(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:")?;
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hex.len() == 64 && hex.bytes().all(lower_hex)).then_some(text)
}

/// The digest of an image's config as runtimes write it: with `sha256:` or without.
pub(super) fn image_id(text: &str) -> Option<String> {
    let whole = if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") };
    digest(&whole).is_some().then_some(whole)
}

/// Words until one of the bounds; the word that meets it is left out.
pub(super) fn entrypoint(words: impl IntoIterator<Item = String>) -> Entrypoint {
    let mut kept = Entrypoint::default();
    let mut bytes = 0;
    for word in words {
        bytes += word.len();
        if kept.words.len() >= MAX_ENTRYPOINT || bytes > MAX_ENTRYPOINT_BYTES {
            kept.truncated = true;
            break;
        }
        kept.words.push(word);
    }
    kept
}

/// Mounts until the bound; those with a path that is too long are left out.
pub(super) fn mounts(all: impl IntoIterator<Item = Mount>) -> Mounts {
    let mut mounts = Mounts::default();
    for mount in all {
        let longest = mount.source.as_os_str().len().max(mount.destination.as_os_str().len());
        if mounts.kept.len() >= MAX_MOUNTS || longest > MAX_TEXT {
            mounts.omitted += 1;
        } else {
            mounts.kept.push(mount);
        }
    }
    mounts
}

/// Nanoseconds since 1970, where 0 and less is none.
pub(super) fn nanoseconds(since: i64) -> Option<SystemTime> {
    let since = u64::try_from(since).ok().filter(|since| *since > 0)?;
    UNIX_EPOCH.checked_add(Duration::from_nanos(since))
}

/// containerd writes the year 1 for none.
pub(super) fn timestamp(at: Option<&prost_types::Timestamp>) -> Option<SystemTime> {
    let at = at?;
    let seconds = u64::try_from(at.seconds).ok()?;
    let nanoseconds = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

/// RFC 3339, where what lies before 1970 is none (Docker writes the year 1).
pub(super) fn rfc3339(text: &str) -> Option<SystemTime> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at > jiff::Timestamp::UNIX_EPOCH).then(|| at.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_whole_or_refused() {
        assert_eq!(text("quote\" and\nnewline".as_bytes()).unwrap(), "quote\" and\nnewline");
        assert_eq!(text(&[b'x'; MAX_TEXT]).unwrap().len(), MAX_TEXT);
        assert!(matches!(text(&[b'x'; MAX_TEXT + 1]), Err(Failure::TooLarge(_))));
        assert!(matches!(text(b"\xff"), Err(Failure::Malformed(_))));
    }

    #[test]
    fn an_id_is_one_plain_component() {
        assert_eq!(id(b"redis_1.a-b").unwrap(), "redis_1.a-b");
        for not in [&b""[..], b"a/b", b"a b", b"a\n", b"\xff", &[b'a'; 256]] {
            assert!(id(not).is_err(), "{not:?}");
        }
    }

    #[test]
    fn a_digest_is_sha256_in_lower_case() {
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(digest(&format!("sha256:{hex}")), Some(format!("sha256:{hex}").as_str()));
        assert_eq!(image_id(&hex), Some(format!("sha256:{hex}")));
        for not in [&hex, "sha256:", "sha512:00", &format!("sha256:{}", hex.to_uppercase())] {
            assert_eq!(digest(not), None, "{not}");
        }
        assert_eq!(image_id("busybox"), None);
    }

    #[test]
    fn times_that_mean_none_are_none() {
        assert_eq!(nanoseconds(0), None);
        assert_eq!(nanoseconds(-1), None);
        assert_eq!(nanoseconds(1_500), Some(UNIX_EPOCH + Duration::from_nanos(1_500)));
        let year_one = prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };
        assert_eq!(timestamp(Some(&year_one)), None);
        assert_eq!(rfc3339("0001-01-01T00:00:00Z"), None);
        assert_eq!(rfc3339("1970-01-01T00:00:01.5Z"), Some(UNIX_EPOCH + Duration::from_millis(1_500)));
        assert_eq!(rfc3339("yesterday"), None);
    }

    proptest! {
        #[test]
        fn an_entrypoint_stays_within_its_bounds(words in prop::collection::vec(".{0,200}", 0..400)) {
            let kept = entrypoint(words.clone());
            prop_assert!(kept.words.len() <= MAX_ENTRYPOINT);
            prop_assert!(kept.words.iter().map(String::len).sum::<usize>() <= MAX_ENTRYPOINT_BYTES);
            prop_assert_eq!(kept.truncated, kept.words.len() < words.len());
            prop_assert_eq!(&kept.words[..], &words[..kept.words.len()]);
        }
    }
}
