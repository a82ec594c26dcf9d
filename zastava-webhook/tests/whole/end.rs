use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::lab::{Registry, Webhook, config, review};

/// As a Service does: the pods that are ready are asked, each for as long as its connection holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_under_load_fails_no_request() {
    let registry = Registry::start().await;
    let pods = [
        Webhook::start(&config(&registry, "server:\n  drainSeconds: 2")),
        Webhook::start(&config(&registry, "server:\n  drainSeconds: 2")),
    ];
    let body: hyper::body::Bytes =
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
    let until = async |pod: usize, more: u64| {
        let wanted = served[pod].load(Ordering::Relaxed) + more;
        while served[pod].load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(0, 200).await;
    pods[0].terminate();
    while pods[0].page("/readyz").await.is_none_or(|(status, _)| status == 200) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It says that it is not ready, and goes on answering whoever has not heard of it.
    until(0, 50).await;
    first_ready.store(false, Ordering::Relaxed);
    while pods[0].page("/healthz").await.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until(1, 100).await;
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    let [first, _second] = pods;
    assert_eq!(first.ended(), Some(0));
}
