//! Registries that send us elsewhere.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use zastava_common::evidence::{
    Fault, Outcome, Source,
    registry::{PullSecrets, RegistryConfig},
};

use super::fake::{Fake, answer_with, ok};
use crate::{
    lab::signed_by,
    made::{self, any, key, made},
};

async fn resolve(fake: &Fake) -> Fault {
    fake.source().resolve(&fake.image(), &PullSecrets::default()).await.unwrap_err()
}

#[tokio::test]
async fn redirects_are_followed_three_times() {
    let fake = Fake::with(&["p256-bundle"]).await;
    let made = made();
    let layer = made.layers("p256-bundle").remove(0).0.digest;
    let content = made::blob(&layer);
    fake.on(&format!("/v2/team/app/blobs/{layer}"), |_| answer_with(307, &[("location", "/one")], ""));
    fake.on("/one", |_| answer_with(302, &[("location", "/two")], ""));
    fake.on("/two", |_| answer_with(301, &[("location", "/three")], ""));
    fake.on("/three", move |_| ok("", content.clone()));
    let wanted = signed_by(any(vec![key("p256")]));
    let source = fake.source();
    let evidence =
        source.gather(&fake.image(), made.digest("app"), &wanted, &PullSecrets::default()).await.unwrap();
    assert!(evidence.signatures[0].is_verified());
    let start = fake.asked().len();
    fake.on("/three", |_| answer_with(308, &[("location", "/one")], ""));
    let evidence =
        source.gather(&fake.image(), made.digest("app"), &wanted, &PullSecrets::default()).await.unwrap();
    assert!(!evidence.signatures[0].is_verified());
    let round = fake.asked().iter().skip(start).filter(|asked| asked.path.len() <= 6).count();
    assert_eq!(round, 3, "a loop is left");
}

/// Places inside, by their address and by a name.
fn inside() -> Vec<String> {
    let names =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "0.0.0.0"];
    names.map(|name| format!("http://{name}:9/latest/meta-data")).to_vec()
}

#[tokio::test]
async fn redirects_to_the_inside_are_refused_when_the_connection_is_made() {
    for target in inside() {
        let fake = Fake::start().await;
        let location = target.clone();
        fake.on("/v2/", move |_| answer_with(307, &[("location", &location)], ""));
        let fault = resolve(&fake).await;
        assert!(matches!(fault, Fault::AddressRefused { .. }), "{target}: {fault}");
        assert!(!fault.is_outage(), "{target}: nothing that could pass");
    }
}

#[tokio::test]
async fn a_registry_cannot_send_us_to_another_one_inside() {
    let fake = Fake::start().await;
    let other = Fake::start().await;
    let location = format!("http://{}/v2/secret/app/manifests/1", other.host);
    fake.on("/v2/", move |_| answer_with(307, &[("location", &location)], ""));
    let mut config = fake.config();
    config.registries.extend(other.config().registries);
    let fault =
        Source::new(&config).unwrap().resolve(&fake.image(), &PullSecrets::default()).await.unwrap_err();
    assert!(matches!(fault, Fault::AddressRefused { .. }), "{fault}");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn a_token_is_not_fetched_from_the_inside() {
    for target in inside() {
        let fake = Fake::start().await;
        let challenge = format!("Bearer realm=\"{target}\",service=\"x\"");
        fake.on("/v2/", move |_| answer_with(401, &[("www-authenticate", &challenge)], ""));
        let fault = resolve(&fake).await;
        assert!(matches!(fault, Fault::AddressRefused { .. }), "{target}: {fault}");
    }
}

#[tokio::test]
async fn an_image_reference_leads_nowhere_inside() {
    let fake = Fake::start().await;
    let port = fake.host.parse::<SocketAddr>().unwrap().port();
    let source = Source::new(&RegistryConfig::default()).unwrap();
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "169.254.169.254".into(),
        "[fd00::1]".into(),
    ] {
        let image = format!("{host}/team/app:1").parse().unwrap();
        let fault = source.resolve(&image, &PullSecrets::default()).await.unwrap_err();
        assert!(matches!(fault, Fault::AddressRefused { .. }), "{host}: {fault}");
    }
    // The same port by another name than the one that is configured.
    let image = format!("localhost:{port}/team/app:1").parse().unwrap();
    let fault = fake.source().resolve(&image, &PullSecrets::default()).await.unwrap_err();
    assert!(matches!(fault, Fault::AddressRefused { .. }), "{fault}");
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn what_is_no_address_of_the_web_is_refused_as_it_is_written() {
    for target in ["file:///etc/passwd", "http://user:pass@x.test/", "ftp://x.test/", "x/y", ""] {
        let fake = Fake::start().await;
        fake.on("/v2/", move |_| answer_with(307, &[("location", target)], ""));
        let fault = resolve(&fake).await;
        assert!(matches!(fault, Fault::RedirectRefused { .. }), "{target}: {fault}");
    }
}

#[tokio::test]
async fn trouble_where_blobs_are_is_not_the_registrys_own() {
    let made = made();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (gone, limiting) = (gone.local_addr().unwrap().to_string(), Fake::start().await);
    limiting.on("/", |_| answer_with(429, &[("retry-after", "30")], ""));
    for storage in [gone, limiting.host.clone()] {
        let fake = Fake::with(&["p256-bundle"]).await;
        let location = format!("http://{storage}/blob");
        fake.on("/v2/team/app/blobs/", move |_| answer_with(307, &[("location", &location)], ""));
        let layer = made.layers("p256-bundle").remove(0).0.digest;
        let location = format!("http://{storage}/blob");
        fake.on(&format!("/v2/team/app/blobs/{layer}"), move |_| {
            answer_with(307, &[("location", &location)], "")
        });
        let mut config = fake.config();
        config.private_hosts.insert(storage.parse().unwrap());
        let source = Source::new(&config).unwrap();
        let wanted = signed_by(any(vec![key("p256")]));
        for _ in 0..3 {
            let evidence =
                source.gather(&fake.image(), made.digest("app"), &wanted, &PullSecrets::default()).await;
            let outcome = &evidence.expect("the manifest is there").signatures[0].outcome;
            assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        }
        // The storage itself is left alone.
        let blobs = fake.asked().iter().filter(|asked| asked.path.contains("/blobs/")).count();
        assert_eq!(blobs, 1);
    }
}
