use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::health::Step;

/// A server on a port of the kernel's choice.
struct Running {
    address: SocketAddr,
    readiness: Readiness,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start() -> Running {
    start_with(Exposition::of(|| {})).await
}

async fn start_with(exposition: Exposition) -> Running {
    let readiness = Readiness::default();
    let server = HealthServer::bind(SocketAddr::from(([127, 0, 0, 1], 0)), readiness.clone(), exposition)
        .await
        .unwrap();
    let address = server.address().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(server.run(stop.clone()));
    Running { address, readiness, stop }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: sensor\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn readyz_is_503_until_all_steps_are_reached() {
    let server = start().await;
    let answer = get(server.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("not ready: waiting for [Attached, Enumerated, Serving]\n"), "{answer}");
    for step in [Step::Attached, Step::Enumerated, Step::Serving] {
        server.readiness.reached(step);
    }
    let answer = get(server.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(get(server.address, "/healthz").await.ends_with("ok\n"));
}

#[tokio::test]
async fn readyz_verbose_tells_as_json_what_is_degraded() {
    let server = start().await;
    server.readiness.reached(Step::Attached);
    server.readiness.degraded("perf/mmap2", "perf_event_open: permission denied");
    let answer = get(server.address, "/readyz?verbose").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    insta::assert_snapshot!(body.trim(), @r#"{"ready":false,"waitingFor":["enumerated","serving"],"stopping":false,"degraded":{"perf/mmap2":"perf_event_open: permission denied"},"degradedUntold":0}"#);
}

#[tokio::test]
async fn metrics_are_in_the_text_format_with_help() {
    let drops = || metrics::counter!(zastava_common::metric::BUFFER_DROPS).increment(3);
    let server = start_with(Exposition::of(drops)).await;
    let answer = get(server.address, "/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    insta::assert_snapshot!(body.trim(), @"
    # HELP zastava_buffer_drops_total Events dropped because no more could wait.
    # TYPE zastava_buffer_drops_total counter
    zastava_buffer_drops_total 3
    ");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = start().await;
    let mut request = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
    request.resize(100_000, b'x');
    let answer = exchange(server.address, &request).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let server = start().await;
    let answer = exchange(server.address, b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(get(server.address, "/../etc/passwd").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let server = start().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let one_more = time::timeout(Duration::from_secs(4), get(server.address, "/healthz")).await;
    assert_eq!(one_more.unwrap(), "");
    drop(idle);
}
