//! A token, and how it is shown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    dpop::{Occasion, ProofKey},
    error::BackendError,
};
use crate::net::{Answer, Http, NetError};

/// The longest nonce that is repeated to whoever gave it.
const MAX_NONCE: usize = 1_024;

/// What the Authority gave.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    /// From then on another one is asked for.
    pub(super) renew_at: Instant,
    pub(super) expires_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

/// How long a token holds whose Authority does not say.
const DEFAULT_LIFE: Duration = Duration::from_mins(1);

/// However long it is said to hold.
const MAX_LIFE: Duration = Duration::from_hours(24);

impl Token {
    /// Reads the answer of a token endpoint. A token that is bound less than was asked for is none.
    pub(super) fn parse(body: &[u8], dpop: bool, now: Instant) -> Result<Self, String> {
        let TokenAnswer { access_token, token_type, expires_in } =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let wanted = if dpop { "DPoP" } else { "Bearer" };
        if !token_type.eq_ignore_ascii_case(wanted) {
            return Err(format!("the token is of the type {token_type:?}, not {wanted:?}"));
        }
        if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token is not made of visible ASCII characters".to_owned());
        }
        let life = expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
        // Four fifths: a renewal that fails has time to be repeated.
        Ok(Self { text: access_token, renew_at: now + life * 4 / 5, expires_at: now + life })
    }
}

/// Sends requests, with a proof of possession where one is wanted.
#[derive(Debug)]
pub(super) struct Sender {
    http: Http,
    within: Duration,
    key: Option<ProofKey>,
    /// The last nonce of each origin; there are as many as the settings name, and the Authority's aliases.
    nonces: Mutex<HashMap<String, String>>,
}

/// A request that can be sent again.
pub(super) struct Sending<'a> {
    pub(super) whom: &'a str,
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Bytes,
    /// Instead of a token.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) token: Option<Arc<Token>>,
    /// Whether the receiver looks for a proof.
    pub(super) proof: bool,
    pub(super) limit: usize,
}

impl Sender {
    pub(super) fn new(http: Http, within: Duration, key: Option<ProofKey>) -> Self {
        Self { http, within, key, nonces: Mutex::default() }
    }

    /// Sends it, and once more where the receiver wants a nonce that it had not given before.
    pub(super) async fn send(&self, sending: &Sending<'_>) -> Result<Answer, BackendError> {
        let known = self.nonce(sending.url);
        let answer = self.send_once(sending, known.as_deref()).await?;
        let nonce = answer.headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
        let Some(nonce) = nonce.filter(|nonce| nonce.len() <= MAX_NONCE && self.key.is_some()) else {
            return Ok(answer);
        };
        self.remember(sending.url, nonce);
        if known.as_deref() == Some(nonce) || !wants_nonce(&answer) {
            return Ok(answer);
        }
        self.send_once(sending, Some(nonce)).await
    }

    async fn send_once(&self, sending: &Sending<'_>, nonce: Option<&str>) -> Result<Answer, BackendError> {
        let Sending { whom, method, url, content_type, body, authorization, token, proof, limit } = sending;
        let settings = |cause: String| BackendError::Settings(format!("{url}: {cause}"));
        let mut request = Request::builder()
            .method(*method)
            .uri(*url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("zastava/", env!("CARGO_PKG_VERSION")));
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let text = token.as_ref().map(|token| token.text.as_str());
        if let Some(text) = text {
            let scheme = if self.key.is_some() { "DPoP" } else { "Bearer" };
            let mut value = HeaderValue::try_from(format!("{scheme} {text}"))
                .map_err(|_| settings("the token cannot be shown".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let (Some(key), true) = (&self.key, *proof) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let occasion = Occasion { method, url: bare(url), now, nonce, token: text };
            request =
                request.header("dpop", key.proof(occasion).map_err(|error| settings(error.to_string()))?);
        }
        let request = request.body(Full::new(body.clone())).map_err(|error| settings(error.to_string()))?;
        let answer = self.http.send(request, *limit, self.within, None).await;
        answer.map_err(|error| tell(whom, error))
    }

    fn nonce(&self, url: &str) -> Option<String> {
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.get(&origin(url)).cloned()
    }

    fn remember(&self, url: &str, nonce: &str) {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.insert(origin(url), nonce.to_owned());
    }
}

/// A token endpoint says so in its body, a protected resource in a header.
fn wants_nonce(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    const WANTED: &str = "use_dpop_nonce";
    let by_header = || {
        let challenges = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        challenges.filter_map(|challenge| challenge.to_str().ok()).any(|challenge| challenge.contains(WANTED))
    };
    let by_body = || serde_json::from_slice(&answer.body).is_ok_and(|Refusal { error }| error == WANTED);
    match answer.status.as_u16() {
        400 => by_body(),
        401 => by_header() || by_body(),
        _ => false,
    }
}

/// What a proof names: the URL without query.
fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

fn origin(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    uri.and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))).unwrap_or_default()
}

fn tell(whom: &str, error: NetError) -> BackendError {
    let whom = whom.to_owned();
    match error {
        NetError::Connect(cause) => BackendError::Unreachable { whom, cause },
        NetError::AddressRefused(address) => BackendError::Unreachable { whom, cause: address.to_string() },
        NetError::Tls(cause) => BackendError::Tls { whom, cause },
        NetError::Timeout(after) => BackendError::Timeout { whom, after },
        NetError::TooLarge(limit) => BackendError::Answer { whom, cause: format!("more than {limit} bytes") },
        NetError::NoRoom => BackendError::Answer { whom, cause: error.to_string() },
        NetError::Malformed(cause) => BackendError::Answer { whom, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends() {
        let now = Instant::now();
        let token =
            Token::parse(br#"{"access_token":"a","token_type":"bearer","expires_in":100}"#, false, now)
                .unwrap();
        assert_eq!(token.renew_at - now, Duration::from_secs(80));
        assert_eq!(token.expires_at - now, Duration::from_secs(100));
        let token = Token::parse(br#"{"access_token":"a","token_type":"DPoP"}"#, true, now).unwrap();
        assert_eq!(token.expires_at - now, DEFAULT_LIFE);
    }

    #[test]
    fn a_token_that_is_bound_less_than_asked_for_is_none() {
        let now = Instant::now();
        let bearer = br#"{"access_token":"a","token_type":"Bearer"}"#;
        assert!(Token::parse(bearer, true, now).is_err());
        for bad in [
            &br#"{"access_token":"","token_type":"Bearer"}"#[..],
            br#"{"access_token":"a b","token_type":"Bearer"}"#,
            b"{}",
        ] {
            assert!(Token::parse(bad, false, now).is_err());
        }
    }

    #[test]
    fn a_proof_names_the_url_without_its_query() {
        assert_eq!(bare("https://a.test/b?c#d"), "https://a.test/b");
        assert_eq!(origin("https://a.test:8443/b?c"), "https://a.test:8443");
    }
}
