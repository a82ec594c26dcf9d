use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use serde_json::Value;
use tokio::{task::JoinSet, time::timeout};

use crate::lab::{Mood, Registry, Sender, Webhook, config, review};

const REVIEWS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reviews_at_once_of_one_digest_cost_one_look() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "server:\n  maxConnections: 2000"));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let review = review(&image);
    let body: Bytes = review.to_string().into();
    // All are connected before one asks: a registry has ten seconds for its answer, and so many handshakes may take as
    // long. Few at once, for each has its limit too.
    let connecting = (0..REVIEWS).map(|_| client.connect());
    let connected: Vec<Sender> =
        stream::iter(connecting).buffer_unordered(16).map(Result::unwrap).collect().await;
    // Nobody is answered before all are heard, which the webhook says of each.
    registry.close();
    let heard = Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for mut sender in connected {
        let request = Request::post("/validate?timeout=30s").header("host", "webhook.test");
        let request = request.header("content-type", "application/json").header("expect", "100-continue");
        let mut request = request.body(Full::new(body.clone())).unwrap();
        let one_more = Arc::clone(&heard);
        hyper::ext::on_informational(&mut request, move |_| {
            one_more.fetch_add(1, Ordering::Relaxed);
        });
        load.spawn(async move {
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer = answer.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<Value>(&answer).unwrap()
        });
    }
    let waiting = async {
        while heard.load(Ordering::Relaxed) < REVIEWS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(25), waiting).await.expect("all are heard");
    registry.open();

    let answers = load.join_all().await;

    for answer in &answers {
        let answer = &answer["response"];
        assert_eq!(
            (&answer["allowed"], &answer["uid"]),
            (&true.into(), &review["request"]["uid"]),
            "{answer}"
        );
    }
    let asked = registry.asked();
    assert!(!asked.is_empty());
    for (what, times) in asked {
        assert_eq!(times, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_when_the_request_is_out_of_time() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    registry.mood(Mood::Slow(Duration::from_millis(700)));

    let first = client.ask(&review(&image), "1s").await;

    assert_eq!(first["allowed"], false);
    assert_eq!(first["auditAnnotations"]["reasons"], "deadline_exceeded");
    let again = async {
        // The same question finds what the first one began, and asks nothing that was asked.
        while client.ask(&review(&image), "1s").await["allowed"] != true {}
    };
    timeout(Duration::from_secs(20), again).await.expect("the look-up goes on");
    assert!(registry.asked().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signature_is_seen_although_there_was_none_before() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, "cache: {negativeSeconds: 0}"));
    let client = webhook.client();
    let image = registry.image("other", ":other");

    assert_eq!(client.ask(&review(&image), "10s").await["auditAnnotations"]["reasons"], "unsigned");
    let before: u32 = registry.asked().values().sum();
    assert_eq!(client.ask(&review(&image), "10s").await["auditAnnotations"]["reasons"], "unsigned");

    // A no is asked about again; a yes is remembered.
    assert!(registry.asked().values().sum::<u32>() > 0, "{before}");
    let signed = registry.image("app", &format!("@{}", registry.digest("app")));
    assert_eq!(client.ask(&review(&signed), "10s").await["allowed"], true);
    registry.asked();
    assert_eq!(client.ask(&review(&signed), "10s").await["allowed"], true);
    assert!(registry.asked().is_empty());
}
