use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    Answer, Http, NetError, Room,
    guard::{Guard, is_public},
    tls,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_that_are_not_of_the_open_internet_are_known() {
    let special = [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "100::1",
        "5f00::1",
    ];
    for special in special {
        assert!(!is_public(address(special)), "{special}");
    }
    for public in ["8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "2606:4700::1", "2a00:1450::1"] {
        assert!(is_public(address(public)), "{public}");
    }
}

#[test]
fn a_host_may_be_at_a_private_address_where_it_is_configured_so_and_at_that_port_alone() {
    let guard = Guard::Public { except: [("reg.test".to_owned(), 5000)].into() };
    let private = address("10.0.0.1");
    assert!(guard.allows("REG.test", 5000, private));
    assert!(!guard.allows("reg.test", 443, private));
    assert!(!guard.allows("other.test", 5000, private));
    assert!(guard.allows("other.test", 443, address("8.8.8.8")));
}

/// Answers every request with so many bytes, after what stands in front of them.
async fn serve(head: &'static str, bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
                stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await.unwrap();
                stream.write_all(&vec![b'x'; bytes]).await.unwrap();
            });
        }
    });
    url
}

async fn ask(url: &str, limit: usize, within: Duration, room: &Room) -> Result<Answer, NetError> {
    let here = ("127.0.0.1".to_owned(), url.parse::<http::Uri>().unwrap().port_u16().unwrap());
    let guard = Guard::Public { except: HashSet::from([here]) };
    let http = Http::new(tls(&[], None).unwrap(), Arc::new(guard));
    let request = Request::builder().uri(url).body(Full::new(Bytes::new())).unwrap();
    http.send(request, limit, within, Some(room)).await
}

const LONG: Duration = Duration::from_mins(1);
/// Ample for the head of an answer. Where there is no room, all of it is waited.
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn an_answer_takes_what_it_announces_until_its_body_is_dropped() {
    let url = serve("200 OK\r\ncontent-length: 80", 80).await;
    let room = Room::new(100);
    let first = ask(&url, 1000, LONG, &room).await.unwrap();
    assert_eq!(first.body.len(), 80);
    // The other answer is there, and there is no room for it.
    assert_eq!(ask(&url, 1000, SHORT, &room).await.unwrap_err(), NetError::NoRoom);
    let second = ask(&url, 1000, LONG, &room);
    let (second, ()) = tokio::join!(second, async { drop(first) });
    assert_eq!(second.unwrap().body.len(), 80);
}

#[tokio::test]
async fn an_answer_that_announces_nothing_takes_its_limit_and_keeps_what_it_is() {
    let url = serve("200 OK\r\nconnection: close", 10).await;
    let room = Room::new(100);
    let first = ask(&url, 90, LONG, &room).await.unwrap();
    let second = ask(&url, 90, LONG, &room).await.unwrap();
    assert_eq!((first.body.len(), second.body.len()), (10, 10));
    assert_eq!(ask(&url, 90, SHORT, &room).await.unwrap_err(), NetError::NoRoom, "80 are left");
    assert_eq!(ask(&url, 80, LONG, &room).await.unwrap().body.len(), 10);
    assert_eq!(ask(&url, 9, LONG, &room).await.unwrap_err(), NetError::TooLarge(9));
    assert_eq!(ask(&url, 80, LONG, &room).await.unwrap().body.len(), 10, "a failure gives it back");
}

#[tokio::test]
async fn a_refusal_needs_no_room() {
    let url = serve("404 Not Found\r\ncontent-length: 80", 80).await;
    assert_eq!(ask(&url, 10, LONG, &Room::new(1)).await.unwrap().status, 404);
}
