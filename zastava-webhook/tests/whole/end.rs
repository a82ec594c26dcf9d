use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::lab::{Client, Registry, Stream, Webhook, config, review, stream};

/// Longer than it takes a busy machine to serve what is waited for while a pod says goodbye.
const SERVER: &str = "server:\n  drainSeconds: 15";

/// Waits until it is so, and not for ever.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(Duration::from_mins(2), waiting).await.is_ok(), "waited in vain: {what}");
}

/// Waits until so many more are served.
async fn serves(served: &AtomicU64, more: u64) {
    let wanted = served.load(Ordering::Relaxed) + more;
    until("requests are served", async || served.load(Ordering::Relaxed) >= wanted).await;
}

async fn says_not_ready(pod: &Webhook) -> bool {
    pod.page("/readyz").await.is_some_and(|(status, _)| status != 200)
}

/// As a Service does: the pods that are ready are asked, each for as long as its connection holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_under_load_fails_no_request() {
    let registry = Registry::start().await;
    let pods = [Webhook::start(&config(&registry, SERVER)), Webhook::start(&config(&registry, SERVER))];
    let body: Bytes =
        review(&registry.image("app", &format!("@{}", registry.digest("app")))).to_string().into();
    // What the cluster knows of the first pod; it learns of its end late, as clusters do.
    let (first_ready, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let served = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let mut load = JoinSet::new();
    for at in 0..8 {
        let (body, served) = (body.clone(), Arc::clone(&served));
        let clients = [pods[0].client(), pods[1].client()];
        let (first_ready, stop) = (Arc::clone(&first_ready), Arc::clone(&stop));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let pod = usize::from(!(first_ready.load(Ordering::Relaxed) && at % 2 == 0));
                let mut sender = clients[pod].connect().await.expect("a pod that is ready takes connections");
                loop {
                    let answer = crate::lab::send(&mut sender, "/validate", body.clone(), "10s").await;
                    let answer = answer.expect("no request fails");
                    assert_eq!(answer.status(), 200);
                    let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
                    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["response"]["allowed"], true);
                    served[pod].fetch_add(1, Ordering::Relaxed);
                    if closes || stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        });
    }
    serves(&served[0], 200).await;
    pods[0].terminate();
    until("it says that it is not ready", async || says_not_ready(&pods[0]).await).await;
    // It says that it is not ready, and goes on answering whoever has not heard of it.
    serves(&served[0], 50).await;
    first_ready.store(false, Ordering::Relaxed);
    until("it ends", async || pods[0].page("/healthz").await.is_none()).await;
    serves(&served[1], 100).await;
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    let [first, _second] = pods;
    assert_eq!(first.ended(), Some(0));
}

/// As an API server does: one connection of HTTP/2 to each pod carries everything. What a pod that says goodbye has not
/// begun goes to the other one, which is what RFC 9113 (section 6.8) has clients do.
struct Pods {
    clients: [Client; 2],
    first_ready: AtomicBool,
    open: Mutex<[Option<Stream>; 2]>,
    served: [AtomicU64; 2],
}

impl Pods {
    async fn ask(&self, body: &Bytes, at: usize) {
        loop {
            let pod = usize::from(!(self.first_ready.load(Ordering::Relaxed) && at.is_multiple_of(2)));
            let mut sender = {
                let mut open = self.open.lock().await;
                match &open[pod] {
                    Some(sender) if !sender.is_closed() => sender.clone(),
                    _ => {
                        let connected = self.clients[pod].connect_http2().await;
                        let (sender, _) = connected.expect("a pod that is ready takes connections");
                        open[pod] = Some(sender.clone());
                        sender
                    }
                }
            };
            match stream(&mut sender, body.clone()).await {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200);
                    let body = http_body_util::BodyExt::collect(answer.into_body()).await;
                    let body: serde_json::Value = serde_json::from_slice(&body.unwrap().to_bytes()).unwrap();
                    assert_eq!(body["response"]["allowed"], true);
                    self.served[pod].fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    let error = error.into_error();
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    // A goodbye without an error; the streams that it does not name were not begun.
                    let goodbye = cause == "connection error received: not a result of an error";
                    assert!(unsent || goodbye, "a request failed: {error:?}");
                    assert_eq!(pod, 0, "the other pod says no goodbye");
                    self.open.lock().await[pod] = None;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_under_load_of_one_connection_fails_no_request() {
    let registry = Registry::start().await;
    let pods = [Webhook::start(&config(&registry, SERVER)), Webhook::start(&config(&registry, SERVER))];
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let body: Bytes = review(&image).to_string().into();
    let all = Arc::new(Pods {
        clients: [pods[0].client(), pods[1].client()],
        first_ready: AtomicBool::new(true),
        open: Mutex::new([None, None]),
        served: [AtomicU64::new(0), AtomicU64::new(0)],
    });
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for at in 0..32 {
        let (all, stop, body) = (Arc::clone(&all), Arc::clone(&stop), body.clone());
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                all.ask(&body, at).await;
            }
        });
    }
    serves(&all.served[0], 500).await;
    pods[0].terminate();
    until("it says that it is not ready", async || says_not_ready(&pods[0]).await).await;
    serves(&all.served[0], 200).await;
    all.first_ready.store(false, Ordering::Relaxed);
    until("it ends", async || pods[0].page("/healthz").await.is_none()).await;
    serves(&all.served[1], 500).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(one) = load.join_next().await {
        one.expect("no request fails");
    }
    let [first, _second] = pods;
    assert_eq!(first.ended(), Some(0));
}
