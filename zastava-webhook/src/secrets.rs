//! Pull secrets of pods, read from the request's namespace and from no other, where the configuration says so.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use moka::future::Cache;
use tokio::time::timeout_at;
use zastava_common::evidence::registry::PullSecrets;

use crate::known::Missing;

/// Secrets of one pod that are read.
const MAX_SECRETS: usize = 8;
/// How long one is remembered.
const TTL: Duration = Duration::from_mins(1);
/// Bytes that are remembered.
const MAX_BYTES: u64 = 4 << 20;
const KIND: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// Reads secrets. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    /// By namespace and name: contents of `.dockerconfigjson`.
    read: Cache<(String, String), Arc<Vec<u8>>>,
}

impl Secrets {
    pub fn new(client: Client) -> Self {
        let weigher = |(namespace, name): &(String, String), secret: &Arc<Vec<u8>>| {
            u32::try_from(namespace.len() + name.len() + secret.len() + 200).unwrap_or(u32::MAX)
        };
        Self {
            client,
            read: Cache::builder().max_capacity(MAX_BYTES).weigher(weigher).time_to_live(TTL).build(),
        }
    }

    /// Those that can be read, and why one could not.
    pub async fn of(
        &self,
        namespace: &str,
        names: &[String],
        deadline: Instant,
    ) -> (PullSecrets, Option<Missing>) {
        let mut secrets = PullSecrets::default();
        let mut missing = None;
        for name in names.iter().take(MAX_SECRETS) {
            let read = timeout_at(deadline.into(), self.read(namespace, name)).await;
            let added = match read {
                Ok(Ok(secret)) => secrets.add(&secret).map_err(|error| Unread::useless(&error)),
                Ok(Err(unread)) => Err(unread),
                Err(_) => Err(Unread { why: "time was up".to_owned(), outage: true }),
            };
            if let Err(Unread { why, outage }) = added {
                let why = format!("the pull secret {namespace}/{name}: {why}");
                missing.get_or_insert(Missing::PullSecret { why, outage });
            }
        }
        (secrets, missing)
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Arc<Vec<u8>>, Unread> {
        let key = (namespace.to_owned(), name.to_owned());
        let load = async {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let Some(secret) = api.get_opt(name).await.map_err(|error| Unread::failed(&error))? else {
                return Err(Unread::useless(&"it is not there"));
            };
            if secret.type_.as_deref() != Some(KIND) {
                return Err(Unread::useless(&format_args!("it is not of type {KIND}")));
            }
            let content = secret.data.unwrap_or_default().remove(KEY);
            content
                .map(|content| Arc::new(content.0))
                .ok_or_else(|| Unread::useless(&format_args!("it has no {KEY}")))
        };
        self.read.try_get_with(key, load).await.map_err(|unread: Arc<Unread>| (*unread).clone())
    }
}

/// Why a secret could not be had.
#[derive(Clone, Debug)]
struct Unread {
    why: String,
    /// The API server's, and not of what the pod names.
    outage: bool,
}

impl Unread {
    fn useless(why: &dyn std::fmt::Display) -> Self {
        Self { why: why.to_string(), outage: false }
    }

    fn failed(error: &kube::Error) -> Self {
        Self { why: error.to_string(), outage: true }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Contents are nobody's business.
        f.debug_struct("Secrets").field("remembered", &self.read.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{Json, Router, extract::Path, http::StatusCode, response::IntoResponse as _, routing::get};
    use k8s_openapi::ByteString;
    use kube::Config;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// A fake API server with the secret `pull` in the namespace `shop` and one of another type beside it.
    async fn start() -> (Secrets, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let read = move |Path((namespace, name)): Path<(String, String)>| async move {
            seen.lock().unwrap().push(format!("{namespace}/{name}"));
            let content = ByteString(br#"{"auths":{"reg.test":{"username":"u","password":"p"}}}"#.to_vec());
            let kind = match (namespace.as_str(), name.as_str()) {
                ("shop", "pull") => KIND,
                ("shop", "other") => "Opaque",
                _ => return (StatusCode::NOT_FOUND, Json(json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no such secret" }))).into_response(),
            };
            Json(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": kind, "data": { KEY: content } })).into_response()
        };
        let router = Router::new().route("/api/v1/namespaces/{namespace}/secrets/{name}", get(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        (Secrets::new(Client::try_from(config).unwrap()), asked)
    }

    async fn of(secrets: &Secrets, namespace: &str, names: &[&str]) -> (PullSecrets, Option<Missing>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        secrets.of(namespace, &names, Instant::now() + Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn a_secret_is_read_once_and_from_the_pods_namespace_alone() {
        let (secrets, asked) = start().await;
        for _ in 0..3 {
            let (read, missing) = of(&secrets, "shop", &["pull"]).await;
            assert!(read.find(&"reg.test/a".parse().unwrap()).is_some());
            assert_eq!(missing, None);
        }
        let (read, missing) = of(&secrets, "attacker", &["pull"]).await;
        assert!(read.is_empty());
        assert!(matches!(missing, Some(Missing::PullSecret { outage: false, .. })), "{missing:?}");
        assert_eq!(*asked.lock().unwrap(), ["shop/pull", "attacker/pull"]);
    }

    #[tokio::test]
    async fn a_secret_of_another_type_is_none_and_the_others_count() {
        let (secrets, _) = start().await;
        let (read, missing) = of(&secrets, "shop", &["other", "pull"]).await;
        assert!(read.find(&"reg.test/a".parse().unwrap()).is_some());
        assert!(missing.unwrap().detail().contains(KIND));
    }

    #[tokio::test]
    async fn no_more_secrets_are_read_than_a_pod_needs() {
        let (secrets, asked) = start().await;
        let names: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        of(&secrets, "shop", &names).await;
        assert_eq!(asked.lock().unwrap().len(), MAX_SECRETS);
    }
}
