use std::{io, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const NAME: &str = "webhook.test";

/// One who asks as the API server does: keeps its connection while it may.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    http2: TlsConnector,
}

pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;
/// Carries many requests at once.
pub(crate) type Stream = http2::SendRequest<Full<Bytes>>;

impl Client {
    /// `authority`: PEM, one or more.
    pub(crate) fn new(address: SocketAddr, authority: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(authority.unwrap()).unwrap();
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut second = config.clone();
        second.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            http2: TlsConnector::from(Arc::new(second)),
        }
    }

    /// A connection of HTTP/2, and the certificate that the server showed (DER).
    pub(crate) async fn connect_http2(&self) -> io::Result<(Stream, Vec<u8>)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.http2.connect(ServerName::try_from(NAME).unwrap(), stream).await?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
        let shown = session.peer_certificates().unwrap()[0].to_vec();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok((sender, shown))
    }

    /// TLS on a connection, whoever opened it.
    pub(crate) async fn secure(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.tls.connect(ServerName::try_from(NAME).unwrap(), stream).await
    }

    pub(crate) async fn connect(&self) -> io::Result<Sender> {
        let stream = self.secure(TcpStream::connect(self.address).await?).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Asks on a connection of its own.
    pub(crate) async fn ask(&self, review: &Value, timeout: &str) -> Value {
        let mut sender = self.connect().await.unwrap();
        let (status, answer) =
            ask(&mut sender, "/validate", review.to_string().into(), timeout).await.unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}

/// Asks on an open connection.
pub(crate) async fn ask(
    sender: &mut Sender,
    path: &str,
    body: Bytes,
    timeout: &str,
) -> Result<(u16, Bytes), hyper::Error> {
    let response = send(sender, path, body, timeout).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

pub(crate) async fn send(
    sender: &mut Sender,
    path: &str,
    body: Bytes,
    timeout: &str,
) -> Result<Response<Incoming>, hyper::Error> {
    let request = Request::post(format!("{path}?timeout={timeout}")).header("host", NAME);
    let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
    sender.ready().await?;
    sender.send_request(request).await
}

/// Asks on a connection of HTTP/2.
pub(crate) async fn stream(
    sender: &mut Stream,
    body: Bytes,
) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
    let request = Request::post(format!("https://{NAME}/validate?timeout=10s"));
    let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
    sender.try_send_request(request).await
}

/// A pod with this image, in the namespace `shop`.
pub(crate) fn review(image: &str) -> Value {
    review_of(image, "shop")
}

pub(crate) fn review_of(image: &str, namespace: &str) -> Value {
    let mut review: Value =
        serde_json::from_slice(include_bytes!("../../data/admission-reviews/pod-create.json")).unwrap();
    review["request"]["namespace"] = json!(namespace);
    review["request"]["object"]["spec"]["containers"][0]["image"] = json!(image);
    review
}

/// `GET` in plain text; `None` where nobody listens.
pub(crate) async fn plain(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", NAME).body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(text.to_vec()).unwrap()))
}
