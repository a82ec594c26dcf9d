//! What can be read of one repository. Everything that comes with a digest is checked against it.

use http::{Method, Uri, header};

use super::{
    budget::Budget,
    client::{Client, Question},
    credentials::{Credentials, PullSecrets},
    place::{Kind, Place},
    url,
};
use crate::{
    evidence::{
        Digest, Fault, ImageReference,
        manifest::{ACCEPT, BUNDLE_PREDICATE, Descriptor, Index, MAX_MANIFEST, Manifest, NoManifest},
    },
    net::{Answer, Held},
};

/// Pages of referrers that are read.
const MAX_PAGES: usize = 16;

/// Referrers that are listed.
const MAX_REFERRERS: usize = 1_000;

/// Bytes of a media type (RFC 6838, section 4.2).
const MAX_TYPE: usize = 255;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Reads the repository of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) image: &'a ImageReference,
    pub(crate) secrets: &'a PullSecrets,
    /// Of this look-up.
    pub(crate) budget: &'a Budget,
}

/// A manifest and what it is.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) digest: Digest,
    /// As much of it as is looked at.
    pub(crate) manifest: Manifest,
}

/// What a list says of one thing that refers to a subject, as far as it is looked at: it may be ten thousand times as
/// long.
#[derive(Clone, Debug)]
pub(crate) struct Referrer {
    pub(crate) digest: Digest,
    /// As it is said to be; absent also where that is too long to be any.
    pub(crate) artifact_type: Option<String>,
    /// Of a bundle: what it is said to state.
    pub(crate) predicate_type: Option<String>,
}

/// Asks one place after another until one has it. Where none has, the last one speaks: it is the registry itself.
macro_rules! first {
    ($reader:ident, $place:ident => $ask:expr) => {{
        let mut last = Ok(None);
        for $place in $reader.client.places($reader.image.host()) {
            let $place = &*$place;
            last = $ask.await;
            if matches!(last, Ok(Some(_))) {
                break;
            }
        }
        last
    }};
}

impl Reader<'_> {
    /// What the tag stands for now: as the registry says, which is all that anybody can know about a tag.
    pub(crate) async fn resolve(&self, tag: &str) -> Result<Digest, Fault> {
        first!(self, place => self.resolve_at(place, tag))?.ok_or_else(|| self.not_found(tag))
    }

    /// The manifest with this digest.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Document, Fault> {
        self.budget.ask(self.image.host())?;
        let found = first!(self, place => self.manifest_at(place, &digest.to_string(), Some(digest)))?;
        found.ok_or_else(|| self.not_found(&digest.to_string()))
    }

    /// The manifest that a tag stands for, where there is one.
    pub(crate) async fn tagged(&self, tag: &str) -> Result<Option<Document>, Fault> {
        self.budget.ask(self.image.host())?;
        first!(self, place => self.manifest_at(place, tag, None))
    }

    /// The content that a descriptor names, if it is no larger than `limit`. However many mirrors lack it, it counts
    /// once.
    pub(crate) async fn blob(&self, descriptor: &Descriptor, limit: usize) -> Result<Held, Fault> {
        let Descriptor { digest, size, .. } = descriptor;
        let host = self.image.host();
        let size = usize::try_from(*size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(Fault::TooLarge { host: host.to_string(), what: digest.to_string(), limit });
        }
        self.budget.ask(host)?;
        self.budget.read(host, size)?;
        let found = first!(self, place => self.blob_at(place, digest, size))?;
        found.ok_or_else(|| self.not_found(&digest.to_string()))
    }

    /// What refers to `subject`: by the referrers API, else by the tag that stands in for it. What kind of thing each
    /// is said to be is not looked at: old tools wrote it wrongly, and nothing vouches for it.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Referrer>, Fault> {
        self.budget.ask(self.image.host())?;
        Ok(first!(self, place => self.referrers_at(place, subject))?.unwrap_or_default())
    }

    async fn resolve_at(&self, place: &Place, tag: &str) -> Result<Option<Digest>, Fault> {
        let rest = format!("manifests/{tag}");
        let answer = self.ask(place, Method::HEAD, &rest, ACCEPT, MAX_MANIFEST).await?;
        let digest = answer.headers.get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        match (answer.status.as_u16(), digest.and_then(|digest| digest.parse().ok())) {
            (404, _) => Ok(None),
            (200, Some(digest)) => Ok(Some(digest)),
            // It does not say, so the manifest is hashed.
            _ => {
                let answer = self.ask(place, Method::GET, &rest, ACCEPT, MAX_MANIFEST).await?;
                Ok(found(place, &answer, &rest)?.map(Digest::sha256))
            }
        }
    }

    async fn manifest_at(
        &self,
        place: &Place,
        name: &str,
        digest: Option<&Digest>,
    ) -> Result<Option<Document>, Fault> {
        let rest = format!("manifests/{name}");
        let answer = self.ask(place, Method::GET, &rest, ACCEPT, MAX_MANIFEST).await?;
        if found(place, &answer, &rest)?.is_none() {
            return Ok(None);
        }
        self.document(place, answer, digest.cloned()).await.map(Some)
    }

    async fn blob_at(&self, place: &Place, digest: &Digest, size: usize) -> Result<Option<Held>, Fault> {
        let other = || Fault::OtherContent { host: place.host.to_string(), expected: digest.clone() };
        let rest = format!("blobs/{digest}");
        let answer = match self.ask(place, Method::GET, &rest, "*/*", size).await {
            Err(Fault::TooLarge { .. }) => return Err(other()),
            answer => answer?,
        };
        let Some(body) = found(place, &answer, &rest)? else { return Ok(None) };
        if body.len() != size {
            return Err(other());
        }
        let (named, body) = (digest.clone(), answer.body);
        let checked = self.client.apart.run(size, move || named.is_of(&body).then_some(body)).await;
        checked.map(Some).ok_or_else(other)
    }

    async fn referrers_at(&self, place: &Place, subject: &Digest) -> Result<Option<Vec<Referrer>>, Fault> {
        let listed = match self.referrers_by_api(place, subject).await? {
            Some(listed) => listed,
            None => self.referrers_by_tag(place, subject).await?,
        };
        // A mirror may have none where its registry has some.
        Ok(Some(listed).filter(|listed| !listed.is_empty()))
    }

    /// `None` where there is no such API.
    async fn referrers_by_api(
        &self,
        place: &Place,
        subject: &Digest,
    ) -> Result<Option<Vec<Referrer>>, Fault> {
        let rest = format!("referrers/{subject}");
        let what = "a list of referrers";
        let malformed =
            |cause: String| Fault::Malformed { host: place.host.to_string(), what: what.to_owned(), cause };
        let mut listed = Vec::new();
        let mut left = MAX_MANIFEST;
        let mut page = place.url(self.image, &rest);
        for number in 0..MAX_PAGES {
            let question = Question {
                kind: Kind::Referrers,
                method: Method::GET,
                url: page.clone(),
                accept: INDEX,
                repository: place.repository(self.image),
                // All pages together are no more than a list may be that has only one.
                limit: left,
                what,
                credentials: self.credentials(place),
            };
            if number > 0 {
                self.budget.ask(&place.host)?;
            }
            let answer = self.put(place, &question).await?;
            let size = answer.body.len();
            self.budget.read(&place.host, size)?;
            match answer.status.as_u16() {
                200 => {}
                // What registries without the API say; a page that was promised is another matter.
                400 | 404 | 405 | 406 | 501 if number == 0 => return Ok(None),
                status => return Err(Fault::Failing { host: place.host.to_string(), status }),
            }
            // Some answer any path with a page for people.
            let json = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            if number == 0 && json.is_some_and(|kind| !kind.contains("json")) {
                return Ok(None);
            }
            let (headers, body) = (answer.headers, answer.body);
            let index = self.client.apart.run(size, move || Index::parse_referrers(&body)).await;
            left -= size;
            listed.extend(referrers(index.map_err(|error| malformed(error.to_string()))?));
            if listed.len() > MAX_REFERRERS {
                return Err(too_many(place));
            }
            let links = headers.get_all(header::LINK);
            let Some(next) = url::next_link(links.iter().filter_map(|link| link.to_str().ok())) else {
                return Ok(Some(listed));
            };
            page = next_page(place, &page, next)?;
        }
        Err(too_many(place))
    }

    async fn referrers_by_tag(&self, place: &Place, subject: &Digest) -> Result<Vec<Referrer>, Fault> {
        self.budget.ask(&place.host)?;
        let rest = format!("manifests/{}", subject.fallback_tag());
        let answer = self.ask(place, Method::GET, &rest, INDEX, MAX_MANIFEST).await?;
        if found(place, &answer, &rest)?.is_none() {
            return Ok(Vec::new());
        }
        let (size, body) = (answer.body.len(), answer.body);
        self.budget.read(&place.host, size)?;
        let index = self.client.apart.run(size, move || Index::parse_referrers(&body)).await;
        // The tag is anybody's: what is no index is no list of referrers.
        let Ok(index) = index else { return Ok(Vec::new()) };
        if index.manifests.len() > MAX_REFERRERS {
            return Err(too_many(place));
        }
        Ok(referrers(index).collect())
    }

    /// What an answer holds, if it is what was `named`.
    async fn document(
        &self,
        place: &Place,
        answer: Answer,
        named: Option<Digest>,
    ) -> Result<Document, Fault> {
        let Answer { headers, body, .. } = answer;
        let size = body.len();
        self.budget.read(&place.host, size)?;
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let media_type = media_type.map(ToOwned::to_owned);
        let read = self.client.apart.run(size, move || {
            let digest = match named {
                Some(digest) if !digest.is_of(&body) => return Err(digest),
                Some(digest) => digest,
                None => Digest::sha256(&body),
            };
            let manifest = Manifest::parse(&body, media_type.as_deref()).map(|mut manifest| {
                manifest.trim();
                manifest
            });
            Ok((digest, manifest))
        });
        let host = || place.host.to_string();
        let (digest, manifest) =
            read.await.map_err(|expected| Fault::OtherContent { host: host(), expected })?;
        match manifest {
            Ok(manifest) => {
                self.budget.keep(&place.host, manifest.weight())?;
                Ok(Document { digest, manifest })
            }
            Err(NoManifest::MediaType(kind)) => Err(Fault::Unsupported { what: digest.to_string(), kind }),
            Err(error) => {
                Err(Fault::Malformed { host: host(), what: digest.to_string(), cause: error.to_string() })
            }
        }
    }

    async fn ask(
        &self,
        place: &Place,
        method: Method,
        rest: &str,
        accept: &'static str,
        limit: usize,
    ) -> Result<Answer, Fault> {
        let what = format!("{}/{rest}", self.image.repository());
        let kind = if rest.starts_with("blobs/") { Kind::Blobs } else { Kind::Manifests };
        let question = Question {
            kind,
            method,
            url: place.url(self.image, rest),
            accept,
            repository: place.repository(self.image),
            limit,
            what: &what,
            credentials: self.credentials(place),
        };
        self.put(place, &question).await
    }

    async fn put(&self, place: &Place, question: &Question<'_>) -> Result<Answer, Fault> {
        let _turn = self.budget.turn().await;
        self.client.ask(place, question).await
    }

    /// Those that take the place of the endpoint's own. What is for the registry is not for whoever mirrors it.
    fn credentials(&self, place: &Place) -> Option<&Credentials> {
        if place.is_mirror() { None } else { self.secrets.find(self.image) }
    }

    fn not_found(&self, what: &str) -> Fault {
        let Self { image, .. } = self;
        let separator = if what.contains(':') { '@' } else { ':' };
        Fault::NotFound {
            host: image.host().to_string(),
            what: format!("{}{separator}{what}", image.repository()),
        }
    }
}

/// The body of a success; `None` where the place has no such thing.
fn found<'a>(place: &Place, answer: &'a Answer, what: &str) -> Result<Option<&'a [u8]>, Fault> {
    match answer.status.as_u16() {
        200 => Ok(Some(&answer.body)),
        404 => Ok(None),
        status => {
            let cause = format!("the answer is {status}");
            Err(Fault::Malformed { host: place.host.to_string(), what: what.to_owned(), cause })
        }
    }
}

fn referrers(index: Index) -> impl Iterator<Item = Referrer> {
    let short = |kind: &String| kind.len() <= MAX_TYPE;
    index.manifests.into_iter().map(move |Descriptor { digest, artifact_type, mut annotations, .. }| {
        Referrer {
            digest,
            artifact_type: artifact_type.filter(short),
            predicate_type: annotations.remove(BUNDLE_PREDICATE).filter(short),
        }
    })
}

fn too_many(place: &Place) -> Fault {
    Fault::TooMany { host: place.host.to_string(), what: "referrers", limit: MAX_REFERRERS }
}

/// The next page is on the same server.
fn next_page(place: &Place, page: &str, next: &str) -> Result<String, Fault> {
    let refused =
        |why| Fault::RedirectRefused { host: place.host.to_string(), target: super::token::shown(next), why };
    let from: Uri = page.parse().map_err(|_| refused("that is no URL"))?;
    let target = url::resolve(&from, next).map_err(refused)?;
    if url::origin(&target) != url::origin(&from) || target.scheme() != from.scheme() {
        return Err(refused("the next page is on another server"));
    }
    Ok(target.to_string())
}
