//! Clients that connect and say nothing, or half of something.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::lab::{Registry, Webhook, config, review};

/// Connections that the webhook takes in these tests.
const MOST: usize = 64;
/// Ample for what is cut off after some ten seconds.
const LONG: Duration = Duration::from_mins(2);

/// Connections of which some have begun to speak.
async fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for at in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The first bytes of a TLS record, and of a request in plain text.
        let begun: &[u8] = [&[], &[0x16, 0x03, 0x01][..], b"POST /val"][at % 3];
        stream.write_all(begun).await.unwrap();
        held.push(stream);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_keeps_nobody_else_from_being_answered() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, &format!("server:\n  maxConnections: {MOST}")));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let held = silent(webhook.address, MOST - 8).await;
    let probes = silent(webhook.metrics_address, 32).await;

    for _ in 0..16 {
        assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
        assert_eq!(webhook.page("/readyz").await.unwrap().0, 200);
    }
    drop((held, probes));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_every_place_and_says_nothing_is_sent_away() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, &format!("server:\n  maxConnections: {MOST}")));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let mut load = JoinSet::new();
    for mut stream in silent(webhook.address, MOST).await {
        load.spawn(async move {
            let mut rest = Vec::new();
            // An end or a reset; never silence for ever.
            let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("it is sent away");
        });
    }
    while let Some(one) = load.join_next().await {
        one.unwrap();
    }

    assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
}
