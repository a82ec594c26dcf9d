use axum::{Router, http::HeaderValue, response::IntoResponse as _};
use tokio::net::TcpListener;
use zastava_common::evidence::registry::{Endpoint, Registry as Configured, RegistryConfig};

use super::*;
use crate::policy::tests::policy;

fn configured(host: &str) -> Configured {
    let endpoint = Endpoint { plain_http: true, ..Endpoint::new(host.parse().unwrap()) };
    Configured::new(endpoint.host.clone(), vec![endpoint])
}

#[tokio::test]
async fn a_registry_that_does_not_answer_keeps_no_place_from_another() {
    let digest = Digest::sha256(b"app");
    let found = HeaderValue::from_str(&digest.to_string()).unwrap();
    let answers = Router::new()
        .fallback(move || std::future::ready([("docker-content-digest", found.clone())].into_response()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, answers).await.unwrap() });
    // Connections wait in its queue, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = silent.local_addr().unwrap().to_string();

    let registries = vec![configured(&quick), configured(&slow)];
    let within = Duration::from_mins(10);
    let source = Source::new(&RegistryConfig { registries, within, ..RegistryConfig::default() }).unwrap();
    let cache = Cache { max_lookups: serde_json::from_value(4.into()).unwrap(), ..Default::default() };
    let gatherer = Gatherer::new(source, None, Duration::from_mins(5), &cache);
    let rules = "{verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}";
    let rules = Arc::clone(policy(rules).unwrap().rules("shop"));
    let ask = async |images: &[ImageReference], wait: Duration| {
        let question = Question {
            namespace: "shop".to_owned(),
            labels: Labels::default(),
            secrets: Arc::new(PullSecrets::default()),
            deadline: Instant::now() + wait,
            max_age: None,
        };
        let gathered = gatherer.gather(images, &rules, &question).await;
        gathered.known.into_iter().map(|known| known.digest.unwrap()).collect::<Vec<_>>()
    };

    let many: Vec<ImageReference> = (0..200).map(|n| format!("{slow}/app:{n}").parse().unwrap()).collect();
    let missing = ask(&many, Duration::from_secs(2)).await;
    assert!(
        missing.contains(&Err(Missing::Busy)) && missing.contains(&Err(Missing::Deadline)),
        "{missing:?}"
    );
    // Its look-ups go on.
    let image = format!("{quick}/app:1").parse().unwrap();
    assert_eq!(ask(&[image], Duration::from_mins(1)).await, [Ok(digest)]);
    assert_eq!(ask(&many[199..], Duration::from_mins(1)).await, [Err(Missing::Busy)]);
}
