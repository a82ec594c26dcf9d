//! Texts that were checked when they were read. No error repeats what stood there.

use std::{
    borrow::Cow,
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    path::{Component, Path},
    str::FromStr,
};

use http::{Uri, uri::Scheme};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
};

/// A text of the wrong form: says what is allowed, not what was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not allowed here; allowed: {0}")]
pub struct NotAllowed(pub &'static str);

/// A newtype of text: what is allowed in words, its length, a pattern for the schema, and the check itself.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $allowed:literal, $most:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        pub struct $name($inner);

        impl $name {
            /// What is allowed, in words.
            pub const ALLOWED: &'static str = $allowed;
        }

        impl FromStr for $name {
            type Err = NotAllowed;

            fn from_str(text: &str) -> Result<Self, NotAllowed> {
                let check: fn(&str) -> Option<$inner> = $check;
                if text.len() > $most {
                    return Err(NotAllowed(Self::ALLOWED));
                }
                check(text).map(Self).ok_or(NotAllowed(Self::ALLOWED))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextVisitor(Self::ALLOWED, PhantomData))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": $most, "pattern": $pattern, "patternErrorMessage": $allowed })
            }
        }
    };
}
pub(super) use text;

pub(super) struct TextVisitor<T>(pub(super) &'static str, pub(super) PhantomData<T>);

impl<T: FromStr> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Other("a text of another form"), &self))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other("a truth value, which in quotes would be a text"), &self))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<T, E> {
        self.visit_f64(0.0)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<T, E> {
        self.visit_f64(0.0)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other("a number, which in quotes would be a text"), &self))
    }
}

text!(
    /// Whose data it is; stands in every event.
    Tenant(String),
    "1 to 128 letters, digits, dots, dashes and underscores",
    128,
    "^[A-Za-z0-9._-]+$",
    |text| all(text, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
);

text!(
    /// A Kubernetes namespace (RFC 1123 label).
    Namespace(String),
    "1 to 63 lower-case letters, digits and dashes, not first or last a dash",
    63,
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    |text| {
        let dash = text.starts_with('-') || text.ends_with('-');
        if dash { None } else { all(text, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) }
    }
);

text!(
    /// Keys of labels or annotations: one, or all with one beginning. Kubernetes' have 317 bytes at most, others more.
    LabelKeys(String),
    "1 to 512 characters, perhaps with a * at the end",
    512,
    "^[^*]+\\*?$|^\\*$",
    |text| {
        let beginning = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && !beginning.contains(['*', '\0'])).then(|| text.to_owned())
    }
);

text!(
    /// A client id, audience or scope of OAuth 2.0 (RFC 6749, appendix A.4).
    Token(String),
    "1 to 256 visible ASCII characters without quotes and backslashes",
    256,
    "^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$",
    |text| all(text, |byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
);

text!(
    /// Where a service is: scheme, host, port and perhaps a path.
    BaseAddress(Uri),
    "an https:// address without user, password, query and fragment (http:// for localhost only)",
    2048,
    "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$",
    base_address
);

text!(
    /// The path of an endpoint below a [`BaseAddress`].
    ApiPath(String),
    "a path that begins with / and has no space, query or fragment",
    1024,
    "^/[\\x21-\\x22\\x24-\\x3E\\x40-\\x7E]*$",
    |text| {
        if text.starts_with('/') {
            all(text, |byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#')
        } else {
            None
        }
    }
);

text!(
    /// A path of this machine.
    AbsolutePath(String),
    "a path that begins with / and has no .. in it",
    4095,
    "^/",
    absolute
);

text!(
    /// The path of a unix socket: what `sun_path` allows (107 bytes, unix(7)), less the suffix under which it is made.
    SocketPath(String),
    "a path of at most 103 bytes that begins with / and has no .. in it",
    103,
    "^/.",
    |text| if text == "/" { None } else { absolute(text) }
);

text!(
    /// An address and port of this machine.
    ListenAddress(SocketAddr),
    "an address and a port such as 127.0.0.1:9464 or [::1]:9464",
    64,
    "^(\\[[0-9A-Fa-f:.]+\\]|[0-9.]+):[0-9]{1,5}$",
    |text| text.parse().ok()
);

macro_rules! as_str {
    ($($name:ident)+) => {
        $(impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        })+
    };
}

as_str!(Tenant Namespace Token ApiPath LabelKeys);

/// For the defaults; a test holds that each of them may also stand in a file.
macro_rules! known {
    ($($name:ident)+) => {
        $(impl $name {
            pub(super) fn known(text: &'static str) -> Self {
                Self(text.to_owned())
            }
        })+
    };
}

known!(Tenant Token ApiPath AbsolutePath SocketPath LabelKeys);

impl BaseAddress {
    pub fn as_uri(&self) -> &Uri {
        &self.0
    }
}

impl AbsolutePath {
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl SocketPath {
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl ListenAddress {
    pub fn get(&self) -> SocketAddr {
        self.0
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

pub(super) fn all(text: &str, allowed: fn(u8) -> bool) -> Option<String> {
    (!text.is_empty() && text.bytes().all(allowed)).then(|| text.to_owned())
}

pub(super) fn absolute(text: &str) -> Option<String> {
    let path = Path::new(text);
    let plain = path.components().all(|component| component != Component::ParentDir);
    (path.is_absolute() && plain && !text.contains('\0')).then(|| text.to_owned())
}

fn base_address(text: &str) -> Option<Uri> {
    // `Uri` drops a fragment without a word.
    if text.contains('#') {
        return None;
    }
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => {
            matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]")
        }
        _ => false,
    };
    let bare = !authority.as_str().contains('@') && !authority.host().is_empty() && uri.query().is_none();
    (secure && bare).then_some(uri)
}
