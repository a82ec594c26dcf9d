//! What an answer costs, beside a handler on the same server that only repeats the uid. Prints lines of a table.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark ends where something is wrong"
)]

#[path = "../tests/whole/lab/mod.rs"]
mod lab;

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Json, Router, body::Bytes, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use zastava_common::config::Server;
use zastava_webhook::{
    certs::Made,
    policy::Disk,
    server::{Certificates, Listener},
};

use lab::{Client, Registry, Webhook, ask, config, made_here, review};

/// Connections that are kept, as those of a few API servers are.
const CONNECTIONS: usize = 8;
/// Requests per second where latency is measured.
const RATE: u64 = 500;
/// As often as it is without a word: tests look each second, which costs more than the answers.
const SERVER: &str = "server:\n  reloadSeconds: 10";
/// Reviews before the memory is looked at.
const MANY: u64 = 100_000;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(at) = arguments.iter().position(|argument| argument == "echo") {
        runtime.block_on(echo(Path::new(&arguments[at + 1])));
    } else {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        runtime.block_on(measure(if quick { 2 } else { 20 }, if quick { MANY / 50 } else { MANY }));
    }
}

/// The reference: the same server and the same TLS, and a handler that reads the body and repeats its uid.
async fn echo(folder: &Path) {
    let path = |file: &str| serde_json::from_value(json!(folder.join(file))).unwrap();
    let server = Server { certificate_file: path("tls.crt"), key_file: path("tls.key"), ..Server::default() };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificates = Certificates::load(&server, &Disk).unwrap();
    let router = Router::new().route("/validate", post(repeat));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), router, 1024).await.unwrap();
    fs::write(folder.join("next"), listener.address().unwrap().to_string()).unwrap();
    fs::rename(folder.join("next"), folder.join("address")).unwrap();
    listener.run(Some(certificates), CancellationToken::new()).await;
}

async fn repeat(body: Bytes) -> Json<Value> {
    let review: Value = serde_json::from_slice(&body).unwrap();
    let response = json!({ "uid": review["request"]["uid"], "allowed": true });
    Json(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }))
}

/// The reference in a process of its own.
struct Echo {
    address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Echo {
    async fn start(made: &Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.crt"), &made.certificate).unwrap();
        fs::write(folder.path().join("tls.key"), &made.key).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .arg("echo")
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let address = loop {
            if let Ok(text) = fs::read_to_string(folder.path().join("address")) {
                break text.parse().unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        };
        Self { address, child, _folder: folder }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(seconds: u64, many: u64) {
    let made = made_here();
    let registry = Registry::start().await;
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let body = |_: u64| Bytes::from(review(&image).to_string());
    let span = Duration::from_secs(seconds);
    println!("bench: | answer | p50 | p95 | p99 | requests per second, at most |");
    println!("bench: | --- | ---: | ---: | ---: | ---: |");

    let reference = Echo::start(&made).await;
    let client = Client::new(reference.address, &made.authority);
    let echo = row("repeats the uid (reference)", &client, RATE, span, &body).await;

    let webhook = Webhook::with(&made, &config(&registry, SERVER), "");
    let warm = row("warm: everything is known", &webhook.client(), RATE, span, &body).await;
    println!(
        "bench: | warm / reference | {} | {} | {} | |",
        ratio(warm.p50, echo.p50),
        ratio(warm.p95, echo.p95),
        ratio(warm.p99, echo.p99)
    );

    let backend = backend().await;
    let verdict =
        format!("verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: true}}\n{SERVER}");
    let with_backend =
        Webhook::with(&made, &verdict, &format!("backend: {{baseAddress: \"http://{backend}\"}}"));
    // Other labels are another question.
    let labelled = |n: u64| {
        let mut review = review(&image);
        review["request"]["object"]["metadata"]["labels"]["n"] = json!(n.to_string());
        Bytes::from(review.to_string())
    };
    row("one question to the backend, which takes 20 ms", &with_backend.client(), 100, span, &labelled).await;

    let forgetful = Webhook::with(
        &made,
        &config(
            &registry,
            &format!("cacheTtlSeconds: 0\ncache: {{tagSeconds: 0, negativeSeconds: 0}}\n{SERVER}"),
        ),
        "",
    );
    row(
        "cold: manifest, referrers and signature from a registry on this machine",
        &forgetful.client(),
        50,
        span,
        &body,
    )
    .await;

    let memory = || webhook.memory() as f64 / 1e6;
    let before = memory();
    throughput(&webhook.client(), &body, None, many).await;
    println!("bench:");
    println!(
        "bench: Memory (RSS) of the webhook: {before:.1} MB before, {:.1} MB after {many} more reviews.",
        memory()
    );
}

/// Microseconds.
#[derive(Clone, Copy)]
struct Latency {
    p50: u32,
    p95: u32,
    p99: u32,
}

async fn row(
    name: &str,
    client: &Client,
    rate: u64,
    span: Duration,
    body: &impl Fn(u64) -> Bytes,
) -> Latency {
    // What is measured is not the first of its kind.
    throughput(client, body, None, 200).await;
    let latency = latency(client, rate, span, body).await;
    let at_most = throughput(client, body, Some(span / 4), u64::MAX).await;
    let Latency { p50, p95, p99 } = latency;
    let shown = |micros: u32| format!("{:.2} ms", f64::from(micros) / 1000.0);
    println!("bench: | {name}, {rate}/s | {} | {} | {} | {at_most:.0} |", shown(p50), shown(p95), shown(p99));
    latency
}

/// Requests at fixed times, whatever became of those before; each is as slow as whoever meant to send it then saw it.
async fn latency(client: &Client, rate: u64, span: Duration, body: &impl Fn(u64) -> Bytes) -> Latency {
    let count = rate * span.as_secs();
    let bodies: Arc<Vec<Bytes>> = Arc::new((0..count.min(4096)).map(|n| body(n + count)).collect());
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut sender = client.connect().await.unwrap();
        let bodies = Arc::clone(&bodies);
        let (lane, mut orders) = mpsc::unbounded_channel::<(usize, Instant)>();
        lanes.push(lane);
        tasks.spawn(async move {
            let mut taken = Vec::new();
            while let Some((n, due)) = orders.recv().await {
                let body = bodies[n % bodies.len()].clone();
                let (status, _) = ask(&mut sender, "/validate", body, "10s").await.unwrap();
                assert_eq!(status, 200);
                taken.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            taken
        });
    }
    // A thread of its own keeps the time: tokio's timers are a millisecond apart.
    thread::spawn(move || {
        let begun = Instant::now();
        for n in 0..usize::try_from(count).unwrap() {
            let due = begun + Duration::from_secs(1).mul_f64(n as f64 / rate as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            lanes[n % CONNECTIONS].send((n, due)).unwrap();
        }
    });
    let mut all: Vec<u32> = tasks.join_all().await.concat();
    all.sort_unstable();
    let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)];
    Latency { p50: at(50), p95: at(95), p99: at(99) }
}

/// One after another on each connection, for that long or that many; requests per second.
async fn throughput(client: &Client, body: &impl Fn(u64) -> Bytes, span: Option<Duration>, most: u64) -> f64 {
    let bodies: Arc<Vec<Bytes>> = Arc::new((0..most.min(16_384)).map(body).collect());
    let (begun, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, bodies, done) = (client.clone(), Arc::clone(&bodies), Arc::clone(&done));
        tasks.spawn(async move {
            let mut sender = client.connect().await.unwrap();
            loop {
                let n = done.fetch_add(1, Ordering::Relaxed);
                if n >= most || span.is_some_and(|span| begun.elapsed() >= span) {
                    done.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                let at = usize::try_from(n).unwrap() % bodies.len();
                let (status, _) = ask(&mut sender, "/validate", bodies[at].clone(), "10s").await.unwrap();
                assert_eq!(status, 200);
            }
        });
    }
    tasks.join_all().await;
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// A backend that passes everything after 20 ms.
async fn backend() -> SocketAddr {
    let answer = async |Json(question): Json<Value>| {
        sleep(Duration::from_millis(20)).await;
        let images = question["images"].as_array().unwrap().iter();
        let results: serde_json::Map<String, Value> = images
            .map(|image| (image["digest"].as_str().unwrap().to_owned(), json!({ "verdict": "pass" })))
            .collect();
        Json(json!({ "results": results }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/api/v1/scanner/policy/runtime", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn ratio(one: u32, other: u32) -> String {
    format!("{:.2}x", f64::from(one) / f64::from(other.max(1)))
}
