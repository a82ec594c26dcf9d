//! Speaking HTTP with others: connections to addresses that are allowed, answers of a bounded size.

mod connect;
mod error;
mod guard;
pub(crate) mod percent;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use self::connect::Connector;
pub(crate) use self::{error::NetError, guard::Guard};

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
    pub(crate) body: Bytes,
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

    /// Sends `request` and reads the answer, at most `limit` bytes of a success, all of it `within` that time.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| NetError::classify(&error))?;
            read(response, limit).await
        };
        tokio::time::timeout(within, exchange).await.unwrap_or(Err(NetError::Timeout(within)))
    }
}

async fn read<B>(response: Response<B>, limit: usize) -> Result<Answer, NetError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (head, body) = response.into_parts();
    let encoding = head.headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        // Never asked for; what it unpacks to has no bound.
        return Err(NetError::Malformed("a compressed answer".to_owned()));
    }
    let success = head.status.is_success();
    let limit = if success { limit } else { MAX_REFUSAL_BYTES };
    let announced = body.size_hint().lower();
    let body = if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        Err(NetError::TooLarge(limit))
    } else {
        match Limited::new(body, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(NetError::TooLarge(limit)),
            Err(error) => Err(NetError::classify(error.as_ref())),
        }
    };
    let body = match body {
        Err(NetError::TooLarge(_)) if !success => Bytes::new(),
        body => body?,
    };
    Ok(Answer { status: head.status, headers: head.headers, body })
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
