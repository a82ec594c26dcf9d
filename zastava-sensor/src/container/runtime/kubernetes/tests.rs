//! Against a server with a certificate of its own CA, made for a hundred years.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Facts, Kubernetes, PAUSE, api::Api, pod};
use crate::container::{
    description::{Owner, Pod, Role},
    runtime::{
        client::Failure,
        tests::http::{answer, answers},
    },
};

const CA: &[u8] = include_bytes!("recorded/ca.crt");
const CERTIFICATE: &[u8] = include_bytes!("recorded/server.crt");
const KEY: &[u8] = include_bytes!("recorded/server.key");
const POD: &str = "/api/v1/namespaces/production/pods/web-7c9fbbd8b7-ktd84";
const SET: &str = "/apis/apps/v1/namespaces/production/replicasets/web-7c9fbbd8b7";

struct Server {
    api: Api,
    port: u16,
    task: JoinHandle<()>,
    /// Its token is read with each question.
    account: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes this service account's token and no other.
async fn serve(all: &[(&str, serde_json::Value)], token: &str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let all: Vec<_> = all.iter().map(|(path, body)| (*path, body.to_string())).collect();
    let answers = answers(&all);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(answer(stream, Arc::clone(&answers), "authorization: Bearer good"));
            }
        }
    });
    let account = tempfile::tempdir().unwrap();
    let api = api(account.path(), port, CA, token).unwrap();
    Server { api, port, task, account }
}

/// Has this pod without an owner, and is not asked for as long as [`PAUSE`] from now on.
pub(in super::super) struct Paused {
    _server: Server,
}

impl Paused {
    pub(in super::super) async fn start(pod: &Pod) -> (Self, Kubernetes) {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let server = serve(&[(path.as_str(), object(&pod.uid, None))], "good").await;
        let kubernetes = Kubernetes::new(api(server.account.path(), server.port, CA, "good").unwrap());
        kubernetes.state().paused = Some(Instant::now() + PAUSE);
        (Self { _server: server }, kubernetes)
    }
}

/// Takes connections and says nothing.
pub(in super::super) struct Hanging {
    _listener: std::net::TcpListener,
    _account: tempfile::TempDir,
}

impl Hanging {
    pub(in super::super) fn start() -> (Self, Kubernetes) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let account = tempfile::tempdir().unwrap();
        let kubernetes = Kubernetes::new(api(account.path(), port, CA, "good").unwrap());
        (Self { _listener: listener, _account: account }, kubernetes)
    }
}

fn api(account: &Path, port: u16, ca: &[u8], token: &str) -> Result<Api, super::api::ApiError> {
    fs::write(account.join("ca.crt"), ca).unwrap();
    fs::write(account.join("token"), format!("{token}\n")).unwrap();
    Api::new("127.0.0.1".to_owned(), port, account)
}

fn pod() -> Pod {
    Pod {
        namespace: "production".to_owned(),
        name: "web-7c9fbbd8b7-ktd84".to_owned(),
        uid: "uid-1".to_owned(),
        sandbox_id: "s".into(),
    }
}

fn object(uid: &str, owner: Option<(&str, &str, &str, &str)>) -> serde_json::Value {
    let owners: Vec<_> = owner
        .into_iter()
        .map(|(version, kind, name, uid)| {
            json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true})
        })
        .collect();
    json!({"metadata": {"uid": uid, "ownerReferences": owners}})
}

fn owner(kind: &str, name: &str) -> Owner {
    Owner { kind: kind.to_owned(), name: name.to_owned(), derived: false }
}

#[tokio::test]
async fn a_pods_owner_is_its_deployment_and_its_containers_are_told_apart() {
    let mut web = object("uid-1", Some(("apps/v1", "ReplicaSet", "web-7c9fbbd8b7", "set-1")));
    web["spec"] = json!({
        "containers": [{"name": "app"}],
        "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}],
        "ephemeralContainers": [{"name": "debugger-x"}],
    });
    let set = object("set-1", Some(("apps/v1", "Deployment", "web", "d-1")));
    let server = serve(&[(POD, web), (SET, set)], "good").await;
    let Facts { owner: found, roles } = pod::facts(&server.api, &pod()).await.unwrap();
    assert_eq!(found, Some(owner("Deployment", "web")));
    let roles: std::collections::BTreeMap<_, _> = roles.into_iter().collect();
    let expected = [("debugger-x", Role::Ephemeral), ("proxy", Role::Sidecar), ("setup", Role::Init)];
    assert_eq!(roles, expected.map(|(name, role)| (name.to_owned(), role)).into());
}

#[tokio::test]
async fn what_can_be_read_of_the_chain_is_told() {
    let web = || object("uid-1", Some(("apps/v1", "ReplicaSet", "web-7c9fbbd8b7", "set-1")));
    // The ReplicaSet is gone, or another one has its name.
    let server = serve(&[(POD, web())], "good").await;
    assert_eq!(
        pod::facts(&server.api, &pod()).await.unwrap().owner,
        Some(owner("ReplicaSet", "web-7c9fbbd8b7"))
    );
    let other = object("set-2", Some(("apps/v1", "Deployment", "other", "d-1")));
    let server = serve(&[(POD, web()), (SET, other)], "good").await;
    assert_eq!(
        pod::facts(&server.api, &pod()).await.unwrap().owner,
        Some(owner("ReplicaSet", "web-7c9fbbd8b7"))
    );
    let custom = object("uid-1", Some(("example.com/v1", "Rollout", "web", "r-1")));
    let server = serve(&[(POD, custom)], "good").await;
    assert_eq!(pod::facts(&server.api, &pod()).await.unwrap().owner, Some(owner("Rollout", "web")));
    let server = serve(&[(POD, object("uid-1", None))], "good").await;
    assert_eq!(pod::facts(&server.api, &pod()).await.unwrap().owner, None);
}

#[tokio::test]
async fn another_pod_of_the_same_name_says_nothing_unless_it_mirrors_this_one() {
    let server = serve(&[(POD, object("uid-2", None))], "good").await;
    assert_eq!(pod::facts(&server.api, &pod()).await.unwrap_err(), Failure::Unknown);
    let mut mirror = object("uid-2", Some(("v1", "Node", "node-1", "n-1")));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "uid-1"});
    let server = serve(&[(POD, mirror)], "good").await;
    assert_eq!(pod::facts(&server.api, &pod()).await.unwrap().owner, Some(owner("Node", "node-1")));
    // Names that are none of Kubernetes' do not become paths.
    for name in ["", "../secrets/x", "a/b", "a?b", "A"] {
        let odd = Pod { name: name.to_owned(), ..pod() };
        assert_eq!(pod::facts(&server.api, &odd).await.unwrap_err(), Failure::Unknown, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_ask_for_every_pod() {
    let server = serve(&[(POD, object("uid-1", None))], "bad").await;
    assert!(matches!(pod::facts(&server.api, &pod()).await, Err(Failure::Refused(_))));
    let account = tempfile::tempdir().unwrap();
    let kubernetes = Arc::new(Kubernetes::new(api(account.path(), 1, CA, "good").unwrap()));
    let question = kubernetes.question(&pod()).unwrap();
    assert!(kubernetes.question(&pod()).is_none());
    assert_eq!(question.put().await, None);
    let next = Pod { uid: "uid-9".to_owned(), ..pod() };
    assert!(kubernetes.question(&next).is_none());
}

#[tokio::test]
async fn a_question_that_waited_while_the_server_failed_is_put_later() {
    let server = serve(&[(POD, object("uid-1", None))], "good").await;
    let account = tempfile::tempdir().unwrap();
    let kubernetes = Arc::new(Kubernetes::new(api(account.path(), server.port, CA, "good").unwrap()));
    let question = kubernetes.question(&pod()).unwrap();
    kubernetes.state().paused = Some(Instant::now() + PAUSE);
    assert_eq!(question.put().await, None);
    kubernetes.state().paused = None;
    let question = kubernetes.question(&pod()).unwrap();
    assert_eq!(question.put().await.as_deref(), Some(&Facts::default()));
    assert!(kubernetes.question(&pod()).is_none(), "it was answered");
}

#[tokio::test]
async fn a_question_whose_asker_went_is_put_again() {
    let (_server, kubernetes) = Hanging::start();
    let kubernetes = Arc::new(kubernetes);
    let question = kubernetes.question(&pod()).unwrap();
    assert!(timeout(Duration::from_millis(20), question.put()).await.is_err());
    // Also where the asker went before it was put at all.
    let mut asker = tokio::task::JoinSet::new();
    asker.spawn(kubernetes.question(&pod()).unwrap().put());
    drop(asker);
    tokio::task::yield_now().await;
    assert!(kubernetes.question(&pod()).is_some());
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed() {
    let server = serve(&[(POD, object("uid-1", None))], "good").await;
    let account = tempfile::tempdir().unwrap();
    // A certificate that is no authority's, and signed nothing.
    let api = api(account.path(), server.port, CERTIFICATE, "good").unwrap();
    assert!(matches!(pod::facts(&api, &pod()).await, Err(Failure::Lost(_))));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(self::api(account.path(), server.port, broken, "good").is_err());
}
