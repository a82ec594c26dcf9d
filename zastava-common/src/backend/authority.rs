//! Who gives tokens: found by its discovery document, asked for one before the last one ends.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Uri};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    error::BackendError,
    settings::AuthoritySettings,
    token::{Sender, Sending, Token},
};
use crate::net::{Answer, percent};

/// The most that is read of an answer of its.
const MAX_ANSWER: usize = 256 * 1024;

/// How long its discovery document is taken for true.
const METADATA_LIFE: Duration = Duration::from_hours(1);

/// After a renewal that failed while the token still holds.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Authority {
    settings: AuthoritySettings,
    sender: Arc<Sender>,
    token: StdMutex<Option<Arc<Token>>>,
    /// Held by the one who asks; with it the discovery document and until when it holds.
    asking: Mutex<Option<(Metadata, Instant)>>,
}

/// As much of the discovery document as is needed (OpenID Connect Discovery 1.0; RFC 8705, section 5).
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    mtls_endpoint_aliases: Aliases,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Aliases {
    token_endpoint: Option<String>,
}

impl Authority {
    pub(super) fn new(settings: AuthoritySettings, sender: Arc<Sender>) -> Self {
        Self { settings, sender, token: StdMutex::default(), asking: Mutex::default() }
    }

    /// A token that holds. One asks for all; while the last one still holds, the others take that.
    pub(super) async fn token(&self) -> Result<Arc<Token>, BackendError> {
        let current = self.current();
        if let Some(token) = &current {
            let now = Instant::now();
            if now < token.renew_at {
                return Ok(Arc::clone(token));
            }
            if now < token.expires_at {
                let Ok(asking) = self.asking.try_lock() else { return Ok(Arc::clone(token)) };
                return Ok(self.renew(asking).await.unwrap_or_else(|_| self.keep(token)));
            }
        }
        let asking = self.asking.lock().await;
        match self.current() {
            // Somebody else was given one meanwhile.
            Some(token) if Instant::now() < token.renew_at => Ok(token),
            _ => self.renew(asking).await,
        }
    }

    /// Forgets a token that was not accepted, unless there is another one by now.
    pub(super) fn reject(&self, token: &Arc<Token>) {
        let mut current = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
            *current = None;
        }
    }

    fn current(&self) -> Option<Arc<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses a token for a while longer that could not be renewed.
    fn keep(&self, token: &Token) -> Arc<Token> {
        let renew_at = (Instant::now() + RETRY_AFTER).min(token.expires_at);
        let kept = Arc::new(Token { text: token.text.clone(), renew_at, expires_at: token.expires_at });
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&kept));
        kept
    }

    async fn renew(
        &self,
        mut asking: MutexGuard<'_, Option<(Metadata, Instant)>>,
    ) -> Result<Arc<Token>, BackendError> {
        let known = asking.as_ref().filter(|(_, until)| Instant::now() < *until);
        let metadata = match known {
            Some((metadata, _)) => metadata.clone(),
            None => self.discover().await?,
        };
        let token = self.ask(&metadata).await;
        // It may have moved.
        *asking = token.is_ok().then(|| (metadata, Instant::now() + METADATA_LIFE));
        let token = Arc::new(token?);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn discover(&self) -> Result<Metadata, BackendError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let answer = self.sender.send(&Sending { method: "GET", ..sending(&url) }).await?;
        let metadata: Metadata = self.read(&answer, |body| {
            serde_json::from_slice(body).map_err(|error| format!("its discovery document: {error}"))
        })?;
        if metadata.issuer.trim_end_matches('/') != issuer {
            return Err(self.unusable(format!("it calls itself {:?}", metadata.issuer)));
        }
        Ok(metadata)
    }

    /// Asks for a token by client credentials (RFC 6749, section 4.4).
    async fn ask(&self, metadata: &Metadata) -> Result<Token, BackendError> {
        let AuthoritySettings { issuer, client_id, secret, audience, scopes, dpop, mutual_tls } =
            &self.settings;
        let alias = metadata.mtls_endpoint_aliases.token_endpoint.as_ref().filter(|_| *mutual_tls);
        let url = alias.unwrap_or(&metadata.token_endpoint);
        let secure = |url: &str| url.parse().is_ok_and(|uri: Uri| uri.scheme_str() == Some("https"));
        if secure(issuer) && !secure(url) {
            return Err(self.unusable(format!("its token endpoint {url:?} leaves TLS")));
        }
        let mut form = Form::default();
        form.add("grant_type", "client_credentials");
        let authorization = secret.as_ref().and_then(|secret| basic(client_id, secret));
        if authorization.is_none() {
            form.add("client_id", client_id);
        }
        if !scopes.is_empty() {
            form.add("scope", &scopes.join(" "));
        }
        for audience in audience {
            form.add("audience", audience);
        }
        let sending = Sending {
            content_type: Some("application/x-www-form-urlencoded"),
            body: Bytes::from(form.text),
            authorization,
            proof: true,
            ..sending(url)
        };
        let answer = self.sender.send(&sending).await?;
        self.read(&answer, |body| Token::parse(body, *dpop, Instant::now()))
    }

    fn read<T>(
        &self,
        answer: &Answer,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, BackendError> {
        match answer.status.as_u16() {
            200 => parse(&answer.body).map_err(|cause| self.unusable(cause)),
            status => Err(BackendError::Status {
                whom: "the Authority".to_owned(),
                status,
                detail: oauth_error(&answer.body),
            }),
        }
    }

    fn unusable(&self, cause: String) -> BackendError {
        BackendError::Answer { whom: format!("the Authority {}", self.settings.issuer), cause }
    }
}

fn sending(url: &str) -> Sending<'_> {
    Sending {
        whom: "the Authority",
        method: "POST",
        url,
        content_type: None,
        body: Bytes::new(),
        authorization: None,
        token: None,
        proof: false,
        limit: MAX_ANSWER,
    }
}

/// The error code of RFC 6749, section 5.2, and nothing else: it is one of few, and holds no secret.
fn oauth_error(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let code = serde_json::from_slice(body).map(|Refusal { error }| error).unwrap_or_default();
    code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect()
}

/// `client_secret_basic` (RFC 6749, section 2.3.1): both parts are form-encoded first.
fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let mut pair = String::new();
    percent::encode(client_id, &mut pair);
    pair.push(':');
    percent::encode(secret, &mut pair);
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[derive(Default)]
struct Form {
    text: String,
}

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.push_str(name);
        self.text.push('=');
        percent::encode(value, &mut self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, basic, oauth_error};

    #[test]
    fn a_form_is_written_so_that_no_value_can_end_it() {
        let mut form = Form::default();
        form.add("scope", "a b");
        form.add("x", "&=+%\u{e9}");
        assert_eq!(form.text, "scope=a%20b&x=%26%3D%2B%25%C3%A9");
        assert_eq!(basic("a:b", "c").unwrap(), "Basic YSUzQWI6Yw==");
    }

    #[test]
    fn of_a_refusal_only_the_code_is_told() {
        assert_eq!(
            oauth_error(br#"{"error":"invalid_client","error_description":"secret hunter2"}"#),
            "invalid_client"
        );
        assert_eq!(oauth_error(b"<html>"), "");
    }
}
