//! Somebody else in the cluster, at an address of their own, takes what they can get.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::lab::{Registry, Webhook, config, review};

/// Every address that begins so is this machine's.
const STRANGER: [u8; 4] = [127, 0, 0, 2];
/// Ample for what is answered after three seconds, and less than the thirty that the stranger asks for.
const LONG: Duration = Duration::from_secs(20);
const BODY: usize = (8 << 20) - 1;

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((STRANGER, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_sends_long_bodies_slowly_keeps_no_review_from_its_answer() {
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, ""));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (client, stream) = (client.clone(), connect(webhook.address).await);
        load.spawn(async move {
            let mut stream = client.secure(stream).await.unwrap();
            let head =
                format!("POST /validate?timeout=30s HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // On a slow machine it is sent away before it has sent all of it.
            let _ = stream.write_all(&vec![b' '; BODY - 1]).await;
            let _ = stream.flush().await;
            stream
        });
    }
    let held = load.join_all().await;

    for _ in 0..16 {
        assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
    }
    for mut stream in held {
        let mut answer = [0; 12];
        let read = timeout(LONG, stream.read_exact(&mut answer)).await.expect("it is sent away");
        // Who is sent away while it still sends may hear of a reset alone.
        let is_refused = matches!(&answer[9..], b"408" | b"503");
        assert!(is_refused || read.is_err(), "{}", answer.escape_ascii());
    }
    assert!(webhook.most_memory() < 128 << 20, "{} bytes", webhook.most_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_takes_connections_leaves_some_to_the_api_server() {
    const MOST: usize = 64;
    let registry = Registry::start().await;
    let webhook = Webhook::start(&config(&registry, &format!("server:\n  maxConnections: {MOST}")));
    let client = webhook.client();
    let image = registry.image("app", &format!("@{}", registry.digest("app")));
    let mut held = Vec::new();
    for _ in 0..2 * MOST {
        held.push(connect(webhook.address).await);
    }

    for _ in 0..16 {
        assert_eq!(client.ask(&review(&image), "10s").await["allowed"], true);
    }
    drop(held);
}
