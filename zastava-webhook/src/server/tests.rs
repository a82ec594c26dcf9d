mod silence;
mod unread;

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Notify, task::JoinSet};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use zastava_common::{
    config::{self, Server},
    evidence::{Source, registry::RegistryConfig},
};

use super::{App, Certificates, Health, Listener, connection::Limits, router};
use crate::{
    certs::{Made, make},
    engine::Engine,
    gather::Gatherer,
    policy::{Disk, tests::policy},
};

const NAME: &str = "webhook.test";

fn app() -> App {
    app_that_denies("latest")
}

/// Refuses images with such tags.
fn app_that_denies(tags: &str) -> App {
    let text = &format!(
        "{{verify: {{imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}, tags: {{deny: ['{tags}']}}}}"
    );
    let source = Source::new(&RegistryConfig::default()).unwrap();
    let gatherer = Gatherer::new(source, None, Duration::from_mins(5), &config::Cache::default());
    let engine = Engine::new(policy(text).unwrap(), gatherer, None, Duration::from_secs(15));
    App::new(engine, Health::default(), Duration::from_millis(300))
}

/// A directory as Kubernetes mounts a Secret: files are links through `..data`, which is swapped.
struct Mounted {
    directory: tempfile::TempDir,
    versions: u32,
}

impl Mounted {
    fn new(made: &Made) -> Self {
        let mut mounted = Self { directory: tempfile::tempdir().unwrap(), versions: 0 };
        mounted.swap(made);
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), mounted.path(file)).unwrap();
        }
        mounted
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn swap(&mut self, made: &Made) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        fs::create_dir(self.path(&version)).unwrap();
        fs::write(self.path(&version).join("tls.crt"), &made.certificate).unwrap();
        fs::write(self.path(&version).join("tls.key"), &made.key).unwrap();
        symlink(&version, self.path("..tmp")).unwrap();
        fs::rename(self.path("..tmp"), self.path("..data")).unwrap();
    }

    fn server(&self) -> Server {
        let path = |file: &str| serde_json::from_value(json!(self.path(file))).unwrap();
        Server { certificate_file: path("tls.crt"), key_file: path("tls.key"), ..Server::default() }
    }
}

fn made() -> Made {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    make(&[NAME.to_owned()], SystemTime::now()).unwrap()
}

/// A server, and what stops it.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(app: App, certificates: &Certificates) -> Running {
    start_within(app, Some(certificates), Limits::default()).await
}

async fn start_within(app: App, certificates: Option<&Certificates>, limits: Limits) -> Running {
    let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap(), router(app), 1024).await.unwrap();
    listener.limits = limits;
    let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
    let task = tokio::spawn(listener.run(certificates.cloned(), stop.clone()));
    Running { address, stop, task }
}

/// Trusts these authorities, and shows a certificate where there is one.
fn client(authorities: &[&str], own: Option<&Made>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match own {
        Some(made) => {
            let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap())
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

async fn connect(address: SocketAddr, tls: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    tls.connect(ServerName::try_from(NAME).unwrap(), stream).await
}

async fn post(address: SocketAddr, tls: &TlsConnector, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connect(address, tls).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::post("/validate?timeout=5s").header("host", NAME).body(Full::new(Bytes::from(body)));
    said(sender.send_request(request.unwrap()).await.unwrap()).await
}

async fn said(response: Response<Incoming>) -> (StatusCode, Vec<u8>) {
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

fn review(image: &str) -> Vec<u8> {
    let mut review: Value =
        serde_json::from_slice(include_bytes!("../../tests/data/admission-reviews/pod-create.json")).unwrap();
    review["request"]["object"]["spec"]["containers"][0]["image"] = json!(image);
    review.to_string().into_bytes()
}

#[tokio::test]
async fn a_review_is_answered_with_its_uid() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let tls = client(&[&made.authority], None);

    for (image, allowed) in [("reg.test/web:1", true), ("reg.test/web", false)] {
        let (status, body) = post(running.address, &tls, review(image)).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["response"]["uid"], "5bdfae87-925e-4a39-af8c-6466379566f0");
        assert_eq!(answer["response"]["allowed"], allowed, "{image}");
    }
}

#[tokio::test]
async fn every_recorded_request_is_answered_as_it_should_be() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app_that_denies("*"), &certificates).await;
    let tls = client(&[&made.authority], None);
    let nothing_to_look_at =
        ["deployment-scale", "namespace-create", "pod-delete", "pod-exec", "pod-update-label"];
    let mut pods = 0;
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/admission-reviews")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let recorded = fs::read(&path).unwrap();
        let question: Value = serde_json::from_slice(&recorded).unwrap();
        let (status, body) = post(running.address, &tls, recorded).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        let Value::Object(answer) = serde_json::from_slice::<Value>(&body).unwrap()["response"].take() else {
            panic!("{name}: no response")
        };
        assert_eq!(answer["uid"], question["request"]["uid"], "{name}");
        let is_pod = question["request"]["kind"]["kind"] == "Pod";
        let nothing = nothing_to_look_at.contains(&name);
        assert_eq!(answer["allowed"], nothing || !is_pod, "{name}");
        assert_eq!(answer.contains_key("warnings"), !nothing && !is_pod, "{name}");
        pods += u32::from(is_pod && !nothing);
    }
    assert_eq!(pods, 9);
}

#[tokio::test]
async fn what_is_no_review_is_never_allowed() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let tls = client(&[&made.authority], None);
    let cases = [
        (Vec::new(), StatusCode::BAD_REQUEST),
        (b"{}".to_vec(), StatusCode::BAD_REQUEST),
        (review("reg.test/web:1")[..200].to_vec(), StatusCode::BAD_REQUEST),
        (vec![b' '; crate::review::MAX_BODY_BYTES + 1], StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (body, wanted) in cases {
        let (status, body) = post(running.address, &tls, body).await;
        assert_eq!(status, wanted);
        assert!(serde_json::from_slice::<Value>(&body).is_err(), "no review is answered");
    }
}

#[tokio::test]
async fn only_who_shows_the_right_certificate_may_ask_where_that_is_checked() {
    let (made, own, stranger) = (made(), made_client(), made_client());
    let mounted = Mounted::new(&made);
    fs::write(mounted.path("ca.crt"), &own.authority).unwrap();
    let server = Server {
        client_ca_file: Some(serde_json::from_value(json!(mounted.path("ca.crt"))).unwrap()),
        ..mounted.server()
    };
    let certificates = Certificates::load(&server, &Disk).unwrap();
    let running = start(app(), &certificates).await;

    let (status, _) =
        post(running.address, &client(&[&made.authority], Some(&own)), review("reg.test/web:1")).await;
    assert_eq!(status, StatusCode::OK);
    for other in [None, Some(&stranger)] {
        let tls = client(&[&made.authority], other);
        // With TLS 1.3 the client hears of it when it reads.
        let refused = async {
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(connect(running.address, &tls).await?))
                    .await
                    .map_err(std::io::Error::other)?;
            tokio::spawn(connection);
            let request = Request::get("/healthz").body(Full::new(Bytes::new())).unwrap();
            sender.send_request(request).await.map(|_| ()).map_err(std::io::Error::other)
        };
        assert!(refused.await.is_err());
    }
}

/// For a client: signed by an authority of its own.
fn made_client() -> Made {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["apiserver".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate =
        params.signed_by(&key, &rcgen::Issuer::from_params(&authority, &authority_key)).unwrap();
    Made {
        authority: authority.self_signed(&authority_key).unwrap().pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

#[tokio::test]
async fn a_pair_that_does_not_fit_leaves_the_old_one_in_use() {
    let (made, other) = (made(), made());
    let mut mounted = Mounted::new(&made);
    let certificates = Certificates::load(&mounted.server(), &Disk).unwrap();
    assert!(!certificates.refresh(&Disk).unwrap());
    mounted.swap(&Made { key: other.key.clone(), ..made.clone() });
    assert!(certificates.refresh(&Disk).is_err());
    let running = start(app(), &certificates).await;

    let (status, _) =
        post(running.address, &client(&[&made.authority], None), review("reg.test/web:1")).await;
    assert_eq!(status, StatusCode::OK);
    mounted.swap(&other);
    assert!(certificates.refresh(&Disk).unwrap());
    let (status, _) =
        post(running.address, &client(&[&other.authority], None), review("reg.test/web:1")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_swapped_under_load_fails_no_handshake() {
    let (old, new) = (made(), made());
    let mut mounted = Mounted::new(&old);
    let certificates = Certificates::load(&mounted.server(), &Disk).unwrap();
    let running = start(app(), &certificates).await;
    let tls = client(&[&old.authority, &new.authority], None);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (tls, stop, done) = (tls.clone(), Arc::clone(&stop), Arc::clone(&done));
        load.spawn(async move {
            let mut seen = HashMap::new();
            while !stop.load(Ordering::Relaxed) {
                let stream = connect(running.address, &tls).await.expect("no handshake fails");
                let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                *seen.entry(certificate).or_insert(0) += 1;
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                let request =
                    Request::post("/validate").body(Full::new(Bytes::from(review("reg.test/web:1"))));
                assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), StatusCode::OK);
                done.fetch_add(1, Ordering::Relaxed);
            }
            seen
        });
    }
    let until = async |count: u64| {
        while done.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    };
    until(50).await;
    for _ in 0..5 {
        mounted.swap(&new);
        assert!(certificates.refresh(&Disk).unwrap());
        let now = done.load(Ordering::Relaxed);
        until(now + 30).await;
        mounted.swap(&old);
        assert!(certificates.refresh(&Disk).unwrap());
        let now = done.load(Ordering::Relaxed);
        until(now + 30).await;
    }
    stop.store(true, Ordering::Relaxed);
    let seen: Vec<_> = load.join_all().await;
    let certificates: std::collections::HashSet<_> = seen.iter().flat_map(HashMap::keys).collect();
    assert_eq!(certificates.len(), 2, "both were served");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_a_request_that_was_begun() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let app = app();
    let running = start(app.clone(), &certificates).await;
    let stream = connect(running.address, &client(&[&made.authority], None)).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // The body comes slowly. Who serves it says so once the head is there and the rest is waited for.
    let (mut body, channel) = http_body_util::channel::Channel::<Bytes>::new(8);
    let mut request = Request::post("/validate").header("expect", "100-continue").body(channel).unwrap();
    let begun = Arc::new(Notify::new());
    let heard = Arc::clone(&begun);
    hyper::ext::on_informational(&mut request, move |_| heard.notify_one());
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    let review = review("reg.test/web:1");
    body.send_data(Bytes::copy_from_slice(&review[..100])).await.unwrap();
    tokio::time::timeout(Duration::from_mins(1), begun.notified()).await.unwrap();

    app.leave();
    running.stop.cancel();
    body.send_data(Bytes::copy_from_slice(&review[100..])).await.unwrap();
    drop(body);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["connection"], "close");
    drop(answer);
    let begun = Instant::now();
    running.task.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_server_that_ends_is_not_ready_and_still_alive() {
    let made = made();
    let certificates = Certificates::load(&Mounted::new(&made).server(), &Disk).unwrap();
    let app = app();
    let running = start(app.clone(), &certificates).await;
    let tls = client(&[&made.authority], None);
    let get = async |path: &str| {
        let stream = connect(running.address, &tls).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
        sender.send_request(request).await.unwrap().status()
    };
    assert_eq!((get("/readyz").await, get("/healthz").await), (StatusCode::OK, StatusCode::OK));
    app.leave();
    assert_eq!(
        (get("/readyz").await, get("/healthz").await),
        (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK)
    );
    assert_eq!(get("/validate").await, StatusCode::METHOD_NOT_ALLOWED);
}
