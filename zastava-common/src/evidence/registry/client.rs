//! One question to one place: with what it wants to see, where it sends us, and not more often than it can bear.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hashlink::LruCache;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use tokio::time::Instant;

use super::{
    apart::Apart,
    challenge::{self, Challenge},
    config::{BadRegistry, RegistryConfig},
    count::{Counts, RequestCount},
    credentials::Credentials,
    pace::{AFTER_REFUSAL, Pace},
    place::{self, Kind, Place, Places, Unlisted},
    token, url,
};
use crate::{
    evidence::{Fault, reference::Host},
    net::{Answer, NetError},
};

/// How often a registry may send us elsewhere for one answer.
const MAX_REDIRECTS: usize = 3;

/// Repositories whose way of asking for credentials is remembered, with their tokens.
const REMEMBERED: usize = 4_096;

/// Registries that are not listed whose state is remembered.
const UNLISTED: usize = 256;

/// All registries.
pub(crate) struct Client {
    listed: Places,
    unlisted: Mutex<LruCache<Host, Arc<Place>>>,
    asked_with: Unlisted,
    within: Duration,
    passes: Mutex<LruCache<PassKey, Pass>>,
    counts: Arc<Counts>,
    pub(crate) apart: Apart,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct PassKey {
    host: Host,
    plain_http: bool,
    repository: String,
    credentials: Option<(String, String)>,
}

/// What a place accepted last.
#[derive(Clone)]
struct Pass {
    header: HeaderValue,
    until: Option<Instant>,
}

/// A question, without what is needed to have it answered.
pub(super) struct Question<'a> {
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) accept: &'static str,
    /// The repository as the place calls it.
    pub(super) repository: String,
    pub(super) limit: usize,
    /// For messages.
    pub(super) what: &'a str,
    /// Instead of the place's own.
    pub(super) credentials: Option<&'a Credentials>,
}

impl Client {
    pub(crate) fn new(config: &RegistryConfig) -> Result<Self, BadRegistry> {
        let (listed, asked_with) = place::build(config)?;
        Ok(Self {
            listed,
            unlisted: Mutex::new(LruCache::new(UNLISTED)),
            asked_with,
            within: config.within,
            passes: Mutex::new(LruCache::new(REMEMBERED)),
            counts: Arc::default(),
            apart: Apart::default(),
        })
    }

    /// From here on counts on where `before` is.
    pub(crate) fn count_with(&mut self, before: &Self) {
        self.counts = Arc::clone(&before.counts);
    }

    pub(crate) fn requests(&self) -> Vec<RequestCount> {
        self.counts.all()
    }

    pub(crate) fn lists(&self, host: &Host) -> bool {
        self.listed.contains_key(host)
    }

    /// Where a registry is asked, in this order.
    pub(super) fn places(&self, host: &Host) -> Vec<Arc<Place>> {
        if let Some(places) = self.listed.get(host) {
            return places.clone();
        }
        let mut unlisted = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = unlisted.get(host) {
            return vec![Arc::clone(place)];
        }
        let place = Arc::new(Place::unlisted(host, &self.asked_with));
        unlisted.insert(host.clone(), Arc::clone(&place));
        vec![place]
    }

    /// Asks one place. Statuses that mean trouble or refusal come as faults; the rest, 404 among them, as they are.
    pub(super) async fn ask(&self, place: &Place, question: &Question<'_>) -> Result<Answer, Fault> {
        let waited = tokio::time::timeout(self.within, place.permits.acquire()).await;
        let Ok(Ok(_permit)) = waited else { return Err(Fault::Busy { host: place.host.to_string() }) };
        place.pace.check()?;
        place.pace_of(question.kind).check()?;
        let key = PassKey::new(place, question);
        let known = self.pass(&key);
        let uri = parse(place, &question.url)?;
        let (mut answer, mut at_home) = self.follow(place, question, uri.clone(), known).await?;
        if answer.status.as_u16() == 401 && at_home {
            let headers = answer.headers.get_all(header::WWW_AUTHENTICATE);
            let challenge = challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()));
            if let Some(pass) = self.earn(place, question, &uri, challenge).await? {
                self.passes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, pass.clone());
                (answer, at_home) = self.follow(place, question, uri, Some(pass)).await?;
            }
        }
        judge(place, question, answer, at_home)
    }

    /// What this place accepted before, unless it has expired.
    fn pass(&self, key: &PassKey) -> Option<Pass> {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = passes.get(key)?.clone();
        if pass.until.is_some_and(|until| until <= Instant::now()) {
            passes.remove(key);
            return None;
        }
        Some(pass)
    }

    /// Sends the question, and again wherever the place sends us. Whether the answer is from the place itself.
    async fn follow(
        &self,
        place: &Place,
        question: &Question<'_>,
        mut uri: Uri,
        pass: Option<Pass>,
    ) -> Result<(Answer, bool), Fault> {
        let home = url::origin(&uri);
        for _ in 0..=MAX_REDIRECTS {
            let at_home = url::origin(&uri) == home;
            let mut request = Request::builder()
                .method(question.method.clone())
                .uri(uri.clone())
                .header(header::ACCEPT, question.accept)
                .header(header::USER_AGENT, USER_AGENT);
            if let (Some(pass), true) = (&pass, at_home) {
                request = request.header(header::AUTHORIZATION, pass.header.clone());
            }
            let pace = place.pace_at(at_home, question.kind);
            let answer = self.send(place, pace, request, question.what, question.limit).await?;
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, at_home));
            }
            let target = answer.headers.get(header::LOCATION).and_then(|target| target.to_str().ok());
            let refused = |why| Fault::RedirectRefused {
                host: place.host.to_string(),
                target: token::shown(target.unwrap_or_default()),
                why,
            };
            let next = target.ok_or("that is nowhere").and_then(|target| url::resolve(&uri, target));
            uri = next.map_err(refused)?;
        }
        let why = "that is one time too many";
        Err(Fault::RedirectRefused {
            host: place.host.to_string(),
            target: token::shown(&uri.to_string()),
            why,
        })
    }

    /// What answers the challenge, where something does.
    async fn earn(
        &self,
        place: &Place,
        question: &Question<'_>,
        from: &Uri,
        challenge: Option<Challenge>,
    ) -> Result<Option<Pass>, Fault> {
        let credentials = question.credentials.or(place.credentials.as_ref());
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => {
                Ok(credentials
                    .and_then(|credentials| Some(Pass { header: basic(credentials)?, until: None })))
            }
            Some(Challenge::Bearer { realm, service }) => {
                let scope = format!("repository:{}:pull", question.repository);
                let url = token::ask(place, from, &realm, service.as_deref(), &scope)?;
                let mut request = Request::builder().uri(url.clone()).header(header::USER_AGENT, USER_AGENT);
                if let Some(credentials) = credentials {
                    if !token::may_have_credentials(place, &url) {
                        return Err(Fault::RealmRefused {
                            host: place.host.to_string(),
                            realm: token::shown(&realm),
                            why: "that is of another domain, and not among the registry's `tokenHosts`",
                        });
                    }
                    if let Some(header) = basic(credentials) {
                        request = request.header(header::AUTHORIZATION, header);
                    }
                }
                // Not followed anywhere: a token server that is elsewhere has a realm that says so.
                let answer =
                    self.send(place, &place.pace, request, "a token", token::MAX_TOKEN_ANSWER).await?;
                let host = place.host.to_string();
                match answer.status.as_u16() {
                    200 => {}
                    429 => return Err(limited(place, &place.pace, &answer)),
                    status @ 500.. => return Err(failing(place, question.kind, &answer, status, true)),
                    status => return Err(Fault::Denied { host, what: question.what.to_owned(), status }),
                }
                let malformed = |cause| Fault::Malformed { host, what: "a token".to_owned(), cause };
                let (token, life) = token::read(&answer.body).map_err(malformed)?;
                let header = sensitive(&format!("Bearer {token}"));
                Ok(header.map(|header| Pass { header, until: Some(Instant::now() + life) }))
            }
        }
    }

    /// Whoever has trouble is left alone by `pace`.
    async fn send(
        &self,
        place: &Place,
        pace: &Pace,
        request: http::request::Builder,
        what: &str,
        limit: usize,
    ) -> Result<Answer, Fault> {
        let host = place.host.to_string();
        let malformed = |cause: String| Fault::Malformed { host: host.clone(), what: what.to_owned(), cause };
        let request = request.body(Full::new(Bytes::new())).map_err(|error| malformed(error.to_string()))?;
        let target = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let answer = place.http.send(request, limit, self.within, Some(&place.room)).await;
        self.counts.add(&place.counted_as, answer.as_ref().ok().map(|answer| answer.status.as_u16()));
        answer.map_err(|error| {
            let fault = match error {
                NetError::AddressRefused(address) => {
                    Fault::AddressRefused { host: target, address: address.to_string() }
                }
                NetError::Connect(cause) => Fault::Unreachable { host: target, cause },
                NetError::Tls(cause) => Fault::Tls { host: target, cause },
                NetError::Timeout(after) => Fault::Timeout { host: target, after },
                NetError::TooLarge(limit) => {
                    Fault::TooLarge { host: host.clone(), what: what.to_owned(), limit }
                }
                NetError::NoRoom => Fault::Busy { host: host.clone() },
                NetError::Malformed(cause) => malformed(cause),
            };
            pace.heed(&fault, None);
            fault
        })
    }
}

const USER_AGENT: &str = concat!("zastava/", env!("CARGO_PKG_VERSION"));

fn parse(place: &Place, url: &str) -> Result<Uri, Fault> {
    url.parse().map_err(|_| Fault::Malformed {
        host: place.host.to_string(),
        what: token::shown(url),
        cause: "no URL".to_owned(),
    })
}

fn judge(place: &Place, question: &Question<'_>, answer: Answer, at_home: bool) -> Result<Answer, Fault> {
    let host = place.host.to_string();
    match answer.status.as_u16() {
        status @ (401 | 403) if at_home => {
            Err(Fault::Denied { host, what: question.what.to_owned(), status })
        }
        429 => Err(limited(place, place.pace_at(at_home, question.kind), &answer)),
        // Not implemented is no trouble: the registry says what it is.
        501 => Ok(answer),
        status @ (100..=199 | 300..=399 | 401 | 403 | 500..) => {
            Err(failing(place, question.kind, &answer, status, at_home))
        }
        _ => Ok(answer),
    }
}

fn limited(place: &Place, pace: &Pace, answer: &Answer) -> Fault {
    let asked = retry_after(answer);
    let wait = asked.unwrap_or(AFTER_REFUSAL);
    let fault = Fault::RateLimited { host: place.host.to_string(), wait };
    pace.heed(&fault, asked);
    fault
}

/// A registry that says when to come back speaks of itself.
fn failing(place: &Place, kind: Kind, answer: &Answer, status: u16, at_home: bool) -> Fault {
    let asked = retry_after(answer);
    let fault = Fault::Failing { host: place.host.to_string(), status };
    let pace = place.pace_at(at_home && asked.is_some(), kind);
    pace.heed(&fault, asked);
    fault
}

/// Seconds; the other form, a date, is as good as none.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn basic(Credentials { username, password }: &Credentials) -> Option<HeaderValue> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

/// Not shown where requests are shown.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl PassKey {
    fn new(place: &Place, question: &Question<'_>) -> Self {
        let credentials = question.credentials.or(place.credentials.as_ref());
        Self {
            host: place.host.clone(),
            plain_http: place.plain_http,
            repository: question.repository.clone(),
            credentials: credentials.map(|given| (given.username.clone(), given.password.clone())),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("listed", &self.listed.keys()).finish_non_exhaustive()
    }
}
