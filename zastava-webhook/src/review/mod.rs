//! What the API server asks: AdmissionReview `admission.k8s.io/v1`, read into our own few fields.
//!
//! The objects in it stay text until `images` knows what kind they are: a foreign kind may have anything anywhere.
//! What is not as it should be is an error and never an empty review: the caller refuses it where `uid_of` knows whom to
//! answer, and else says 400, which the API server treats as no answer.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeSeed as _};
use serde_json::value::RawValue;

/// Most bytes of a request's body that are read. The API server may send more: of an object it takes 3 MiB, and writes
/// each `<` and each control character in it as six bytes (`encoding/json`); an UPDATE brings two objects.
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// So much of a body's beginning is enough for `uid_of`.
pub const BEGINNING: usize = 4 << 10;

/// The one version that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";
pub const KIND: &str = "AdmissionReview";

/// Longest uid, namespace or name that is answered, in bytes. Kubernetes has shorter ones.
const MAX_WORD: usize = 512;
/// Longest uid that is believed of a review that could not be read, in bytes. Kubernetes' have 36.
const MAX_UID: usize = 64;

/// What the names of nodes begin with, and the group that they are in ("Using Node Authorization" of Kubernetes' manual).
const NODE: &str = "system:node:";
const NODES: &str = "system:nodes";

#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error("no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    #[error("this is {kind} of {api_version}; {KIND} of {API_VERSION} is spoken here")]
    Version { api_version: String, kind: String },
    #[error("an AdmissionReview without a request")]
    NoRequest,
    #[error("the request's {0} is empty or too long")]
    Word(&'static str),
}

impl ReviewError {
    /// It was not even JSON, which no API server sends.
    pub fn is_no_json(&self) -> bool {
        matches!(self, Self::Json(error) if error.is_syntax() || error.is_eof())
    }
}

/// One question.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The answer repeats it.
    pub uid: Cow<'a, str>,
    /// What `object` is.
    pub kind: GroupKind<'a>,
    /// `ephemeralcontainers`, `resize`, `scale`, ...
    pub sub_resource: Option<Cow<'a, str>>,
    /// Empty for what has no namespace.
    pub namespace: Cow<'a, str>,
    /// Empty when the API server has still to make one up.
    pub name: Cow<'a, str>,
    pub operation: Operation,
    /// Who asks.
    pub user: Cow<'a, str>,
    /// Who asks is a node, by name and by group: only the API server's own authentication gives both.
    pub by_node: bool,
    /// The object as it would be.
    pub object: Option<&'a RawValue>,
    /// The object as it is.
    pub old_object: Option<&'a RawValue>,
    pub dry_run: bool,
}

/// What a request is about, without the objects: this is held while others are asked.
#[derive(Clone, Debug)]
pub struct Subject {
    pub uid: String,
    pub kind: String,
    pub sub_resource: Option<String>,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
}

impl Request<'_> {
    pub fn subject(&self) -> Subject {
        Subject {
            uid: self.uid.to_string(),
            kind: self.kind.kind.to_string(),
            sub_resource: self.sub_resource.as_deref().map(str::to_owned),
            namespace: self.namespace.to_string(),
            name: self.name.to_string(),
            dry_run: self.dry_run,
        }
    }
}

impl Subject {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let Self { uid, kind, sub_resource, namespace, name, dry_run: _ } = self;
        let texts = [uid, kind, namespace, name].into_iter().chain(sub_resource);
        size_of::<Self>() + texts.map(String::len).sum::<usize>()
    }
}

/// Group and kind; the versions of a kind look the same as far as we look.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct GroupKind<'a> {
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// Reads the body of a request.
pub fn parse(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let wire: wire::Review<'_> = serde_json::from_slice(body)?;
    if wire.api_version != API_VERSION || wire.kind != KIND {
        let cut = |text: Cow<'_, str>| text.chars().take(MAX_WORD).collect();
        return Err(ReviewError::Version { api_version: cut(wire.api_version), kind: cut(wire.kind) });
    }
    let wire = wire.request.ok_or(ReviewError::NoRequest)?;
    let request = Request {
        uid: wire.uid,
        kind: wire.kind,
        sub_resource: wire.sub_resource.filter(|name| !name.is_empty()),
        namespace: wire.namespace.unwrap_or_default(),
        name: wire.name.unwrap_or_default(),
        operation: wire.operation,
        by_node: wire.user_info.username.starts_with(NODE) && wire.user_info.groups.0,
        user: wire.user_info.username,
        object: wire.object.filter(|object| object.get() != "null"),
        old_object: wire.old_object.filter(|object| object.get() != "null"),
        dry_run: wire.dry_run.unwrap_or(false),
    };
    let words = [("name", &request.name), ("namespace", &request.namespace), ("uid", &request.uid)];
    if let Some((word, _)) = words.iter().find(|(_, text)| text.len() > MAX_WORD) {
        return Err(ReviewError::Word(word));
    }
    if request.uid.is_empty() {
        return Err(ReviewError::Word("uid"));
    }
    Ok(request)
}

/// Whom to answer, by the beginning of a body that is not read to its end: Go writes version, kind and `request.uid`
/// before anything that a user can choose. `None` for what does not begin as an AdmissionReview of our version.
pub fn uid_of(body: &[u8]) -> Option<String> {
    let beginning = body.get(..BEGINNING).unwrap_or(body);
    let mut seen = wire::Beginning::default();
    // It ends in the middle, as a rule after what we look for.
    let _ = seen.deserialize(&mut serde_json::Deserializer::from_slice(beginning));
    let plain = |uid: &String| {
        (1..=MAX_UID).contains(&uid.len())
            && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    seen.uid.filter(plain)
}

/// As it comes.
mod wire {
    use std::{borrow::Cow, fmt};

    use serde::{
        Deserialize, Deserializer,
        de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    };
    use serde_json::value::RawValue;

    use super::{API_VERSION, GroupKind, KIND, NODES, Operation};

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Review<'a> {
        #[serde(borrow)]
        pub(super) api_version: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) kind: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) request: Option<Request<'a>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Request<'a> {
        #[serde(borrow)]
        pub(super) uid: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) kind: GroupKind<'a>,
        #[serde(borrow)]
        pub(super) sub_resource: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pub(super) namespace: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pub(super) name: Option<Cow<'a, str>>,
        pub(super) operation: Operation,
        #[serde(borrow, default)]
        pub(super) user_info: UserInfo<'a>,
        #[serde(borrow)]
        pub(super) object: Option<&'a RawValue>,
        #[serde(borrow)]
        pub(super) old_object: Option<&'a RawValue>,
        pub(super) dry_run: Option<bool>,
    }

    #[derive(Default, Deserialize)]
    pub(super) struct UserInfo<'a> {
        #[serde(borrow, default)]
        pub(super) username: Cow<'a, str>,
        #[serde(default)]
        pub(super) groups: Groups,
    }

    /// Whether the nodes' is among them. However many there are, none is kept.
    #[derive(Default)]
    pub(super) struct Groups(pub(super) bool);

    impl<'de> Deserialize<'de> for Groups {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_option(Self::default())
        }
    }

    impl<'de> Visitor<'de> for Groups {
        type Value = Self;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of groups")
        }

        /// Go writes an empty list as `null`.
        fn visit_none<E>(self) -> Result<Self, E> {
            Ok(self)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut groups: A) -> Result<Self, A::Error> {
            while let Some(group) = groups.next_element::<Cow<'de, str>>()? {
                self.0 |= group == NODES;
            }
            Ok(self)
        }
    }

    /// Looks for the uid and for nothing else. What it has found stays when the text ends too early.
    #[derive(Default)]
    pub(super) struct Beginning {
        has_version: bool,
        has_kind: bool,
        pub(super) uid: Option<String>,
    }

    impl<'de> DeserializeSeed<'de> for &mut Beginning {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for &mut Beginning {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an AdmissionReview")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                match &*key {
                    "apiVersion" => self.has_version = map.next_value::<Cow<'de, str>>()? == API_VERSION,
                    "kind" => self.has_kind = map.next_value::<Cow<'de, str>>()? == KIND,
                    "request" if self.has_version && self.has_kind => {
                        return map.next_value_seed(Uid(&mut self.uid));
                    }
                    _ => return Err(A::Error::custom("this is no beginning of an AdmissionReview")),
                }
            }
            Ok(())
        }
    }

    struct Uid<'a>(&'a mut Option<String>);

    impl<'de> DeserializeSeed<'de> for Uid<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Uid<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a request")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == "uid" {
                    *self.0 = Some(map.next_value()?);
                    return Ok(());
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
}
