//! Speaking HTTP with others: connections to addresses that are allowed, answers of a bounded size.

mod connect;
mod error;
mod guard;
pub(crate) mod percent;
mod room;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::time::timeout;

use self::{connect::Connector, room::Taken};
pub(crate) use self::{
    error::NetError,
    guard::Guard,
    room::{Held, Room},
};

/// The most that is read of an answer that is no success.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The most that an answer's head takes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Connections that are kept open for a host.
const IDLE_CONNECTIONS: usize = 8;

const IDLE_FOR: Duration = Duration::from_mins(1);

/// A client for one set of TLS settings.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Held,
}

/// A certificate of our own with its key, for servers that ask for one.
pub(crate) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Http {
    pub(crate) fn new(tls: ClientConfig, guard: Arc<Guard>) -> Self {
        let connector = HttpsConnector::from((Connector::new(guard), tls));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Self { client }
    }

    /// Sends `request` and reads the answer, at most `limit` bytes of a success, all of it `within` that time. Where
    /// there is a `room`, a success has its place there, for which it is waited as long again.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
        within: Duration,
        room: Option<&Room>,
    ) -> Result<Answer, NetError> {
        let late = |_| NetError::Timeout(within);
        let begun = Instant::now();
        let response = timeout(within, self.client.request(request)).await.map_err(late)?;
        let response = response.map_err(|error| NetError::classify(&error))?;
        let left = within.saturating_sub(begun.elapsed());
        let taken = match room.filter(|_| response.status().is_success()) {
            Some(room) => {
                let taken = timeout(within, room.take(most(&response, limit)?)).await;
                Some(taken.ok().flatten().ok_or(NetError::NoRoom)?)
            }
            None => None,
        };
        timeout(left, read(response, limit, taken)).await.map_err(late)?
    }
}

/// The most that the body may come to: what is announced, else `limit`.
fn most<B: Body>(response: &Response<B>, limit: usize) -> Result<usize, NetError> {
    let size = response.body().size_hint();
    let fits = |size| usize::try_from(size).ok().filter(|size| *size <= limit);
    if fits(size.lower()).is_none() {
        return Err(NetError::TooLarge(limit));
    }
    Ok(size.upper().and_then(fits).unwrap_or(limit))
}

async fn read<B>(response: Response<B>, limit: usize, taken: Option<Taken>) -> Result<Answer, NetError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let success = response.status().is_success();
    let limit = if success { limit } else { MAX_REFUSAL_BYTES };
    let announced = most(&response, limit);
    let (head, body) = response.into_parts();
    let encoding = head.headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        // Never asked for; what it unpacks to has no bound.
        return Err(NetError::Malformed("a compressed answer".to_owned()));
    }
    let body = match announced {
        Err(too_large) => Err(too_large),
        Ok(_) => whole(body, limit).await,
    };
    let body = match body {
        Err(NetError::TooLarge(_)) if !success => Bytes::new(),
        body => body?,
    };
    Ok(Answer { status: head.status, headers: head.headers, body: Held::new(body, taken) })
}

/// All of a body, read into its place: gathered piece by piece it would be there twice at the end.
async fn whole<B>(body: B, limit: usize) -> Result<Bytes, NetError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let announced = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let mut whole = BytesMut::with_capacity(announced.unwrap_or_default().min(limit));
    let mut body = Limited::new(body, limit);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => whole.extend_from_slice(&data),
            // Trailers say nothing.
            Ok(Err(_)) => {}
            Err(error) if error.is::<LengthLimitError>() => return Err(NetError::TooLarge(limit)),
            Err(error) => return Err(NetError::classify(error.as_ref())),
        }
    }
    Ok(whole.freeze())
}

/// TLS with the system's authorities and `more` (DER), and with a certificate of our own where there is one.
pub(crate) fn tls(more: &[Vec<u8>], own: Option<OwnCertificate>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // What cannot be read of the system's is not trusted, and that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in more {
        let authority = CertificateDer::from(authority.clone());
        roots.add(authority).map_err(|error| format!("an authority is no certificate: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match own {
        None => Ok(config.with_no_client_auth()),
        Some((chain, key)) => config
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the certificate and its key do not fit: {error}")),
    }
}
