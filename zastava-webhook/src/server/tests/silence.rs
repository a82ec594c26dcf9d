//! Clients that say nothing, or too slowly.

use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::*;

/// So long that only what hangs takes it.
const NEVER: Duration = Duration::from_mins(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Nothing but `limits` ends a connection.
fn patient() -> Limits {
    Limits { handshake: NEVER, first: NEVER, idle: NEVER, ping: NEVER, pong: NEVER, last: NEVER }
}

pub(super) fn speaking(made: &Made, protocol: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Says this and then nothing; `true` when the other side ends the connection.
async fn is_ended(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &[u8]) -> bool {
    stream.write_all(said).await.unwrap();
    stream.flush().await.unwrap();
    // An end without a goodbye, which TLS takes for an error, is an end.
    timeout(NEVER, stream.read_to_end(&mut Vec::new())).await.is_ok()
}

/// Says a letter at a time, without an end.
async fn drips(stream: impl AsyncRead + AsyncWrite + Unpin, begin: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(begin).await.unwrap();
    let drip = async {
        while write.write_all(b"a").await.is_ok() && write.flush().await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        // The answer may still be on its way.
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => {}
        _ = timeout(NEVER, read.read_to_end(&mut answer)) => {}
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_nothing_is_given_up_whatever_it_speaks() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let short = Duration::from_millis(50);
    let limits = Limits { first: short, last: short, ..patient() };
    let secure = start_within(app(), Some(&certificates), limits).await;
    let plain = start_within(app(), None, limits).await;
    let (h1, h2) = (client(&[&made.authority], None), speaking(&made, b"h2"));

    let half_a_head = b"POST /validate HTTP/1.1\r\nhost: a\r\n";
    for said in [&b""[..], half_a_head, &PREFACE[..10]] {
        let stream = TcpStream::connect(plain.address).await.unwrap();
        assert!(is_ended(stream, said).await, "plain: {said:?}");
        let stream = connect(secure.address, &h1).await.unwrap();
        assert!(is_ended(stream, said).await, "HTTP/1: {said:?}");
    }
    for said in [&b""[..], &PREFACE[..10], &[PREFACE, SETTINGS].concat()] {
        let stream = connect(secure.address, &h2).await.unwrap();
        assert!(is_ended(stream, said).await, "HTTP/2: {said:?}");
    }
    let stream = TcpStream::connect(plain.address).await.unwrap();
    assert!(drips(stream, b"GET /healthz HTTP/1.1\r\nhost: ").await.is_empty());
    let stream = connect(secure.address, &h1).await.unwrap();
    assert!(drips(stream, b"GET /healthz HTTP/1.1\r\nhost: ").await.is_empty());
}

#[tokio::test]
async fn a_client_without_a_handshake_is_given_up() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let limits = Limits { handshake: Duration::from_millis(50), ..patient() };
    let running = start_within(app(), Some(&certificates), limits).await;
    assert!(is_ended(TcpStream::connect(running.address).await.unwrap(), b"").await);
}

#[tokio::test]
async fn an_http2_client_that_has_vanished_is_given_up() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let short = Duration::from_millis(50);
    let running =
        start_within(app(), Some(&certificates), Limits { ping: short, pong: short, ..patient() }).await;
    let stream = connect(running.address, &speaking(&made, b"h2")).await.unwrap();
    // It never answers a ping.
    assert!(is_ended(stream, &[PREFACE, SETTINGS].concat()).await);
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_waited_for_until_the_answer_must_leave() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    // Neither limit ends what is under way.
    let short = Duration::from_millis(20);
    let running =
        start_within(app(), Some(&certificates), Limits { first: NEVER, idle: short, ..patient() }).await;
    let stream = connect(running.address, &client(&[&made.authority], None)).await.unwrap();
    let head = b"POST /validate?timeout=1s HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    let answer = String::from_utf8(drips(stream, head).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_loses_no_request() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let idle = Duration::from_millis(50);
    let running = start_within(app(), Some(&certificates), Limits { idle, ..patient() }).await;
    let get = || Request::get("https://webhook.test/healthz").body(Full::new(Bytes::new())).unwrap();

    let stream = connect(running.address, &client(&[&made.authority], None)).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(sender.send_request(get()).await.unwrap().status(), StatusCode::OK);
    timeout(NEVER, connection).await.unwrap().unwrap().unwrap();

    let stream = connect(running.address, &speaking(&made, b"h2")).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    // Much longer under way than a connection may be idle.
    let (mut body, channel) = http_body_util::channel::Channel::<Bytes>::new(8);
    let request = Request::post("https://webhook.test/validate").body(channel).unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    let review = review("reg.test/web:1");
    body.send_data(Bytes::copy_from_slice(&review[..100])).await.unwrap();
    sleep(6 * idle).await;
    body.send_data(Bytes::copy_from_slice(&review[100..])).await.unwrap();
    drop(body);
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    timeout(NEVER, connection).await.unwrap().unwrap().unwrap();
}
