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
/// Bytes of a name.
const MAX_NAME: usize = 253;
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

    /// Those that can be read, and why one could not: rather for what the pod names than for an outage.
    pub async fn of(
        &self,
        namespace: &str,
        names: &[String],
        deadline: Instant,
    ) -> (PullSecrets, Option<Missing>) {
        let mut secrets = PullSecrets::default();
        let mut missing = (names.len() > MAX_SECRETS).then(|| {
            let why =
                format!("the pod names {} pull secrets, and {MAX_SECRETS} at most are read", names.len());
            Missing::PullSecret { why, outage: false }
        });
        for name in names.iter().take(MAX_SECRETS) {
            let read = timeout_at(deadline.into(), self.read(namespace, name)).await;
            let added = match read {
                Ok(Ok(secret)) => secrets.add(&secret).map_err(|error| Unread::useless(&error)),
                Ok(Err(unread)) => Err(unread),
                Err(_) => Err(Unread { why: "time was up".to_owned(), outage: true }),
            };
            if let Err(Unread { why, outage }) = added
                && missing.as_ref().is_none_or(|known| known.is_outage() && !outage)
            {
                let why = format!("the pull secret {}: {why}", shown(&format!("{namespace}/{name}")));
                missing = Some(Missing::PullSecret { why, outage });
            }
        }
        (secrets, missing)
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Arc<Vec<u8>>, Unread> {
        // They become parts of a path.
        if !is_subdomain(namespace) || !is_subdomain(name) {
            return Err(Unread::useless(&"that is no name of a secret (RFC 1123 subdomain)"));
        }
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
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::useless(
                &"the webhook may not read it: its ServiceAccount needs `get` for secrets of this name here",
            ),
            kube::Error::Api(status) => Self {
                why: format!("the API server answers {}: {}", status.code, status.message),
                outage: status.code == 429 || status.code >= 500,
            },
            kube::Error::Service(_) | kube::Error::HyperError(_) => {
                Self { why: error.to_string(), outage: true }
            }
            _ => Self::useless(error),
        }
    }
}

/// A name that Kubernetes gives to a secret; a namespace's is one too.
fn is_subdomain(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let label = |label: &str| {
        let dash = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !dash && label.bytes().all(allowed)
    };
    text.len() <= MAX_NAME && text.split('.').all(label)
}

/// What a pod wrote may have anything in it.
fn shown(text: &str) -> String {
    text.chars().take(2 * MAX_NAME).flat_map(char::escape_debug).collect()
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

    /// A fake API server with the secret `pull` in the namespace `shop`, one of another type beside it, and statuses for
    /// secrets that are called so.
    async fn start() -> (Secrets, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let read = move |Path((namespace, name)): Path<(String, String)>| async move {
            seen.lock().unwrap().push(format!("{namespace}/{name}"));
            let content = ByteString(br#"{"auths":{"reg.test":{"username":"u","password":"p"}}}"#.to_vec());
            let kind = match (namespace.as_str(), name.as_str()) {
                ("shop", "pull") => KIND,
                ("shop", "other") => "Opaque",
                _ => {
                    let code = name.parse().unwrap_or(404);
                    let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": "Some", "message": "no" });
                    return (StatusCode::from_u16(code).unwrap(), Json(status)).into_response();
                }
            };
            Json(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": kind, "data": { KEY: content } })).into_response()
        };
        let router = Router::new().route("/api/v1/namespaces/{namespace}/secrets/{name}", get(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(&listener.local_addr().unwrap().to_string());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        (Secrets::new(Client::try_from(config).unwrap()), asked)
    }

    /// Who fails is not asked again: one answer is enough here.
    fn config(host: &str) -> Config {
        let mut config = Config::new(format!("http://{host}").parse().unwrap());
        config.default_retry = false;
        config
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
    async fn secrets_beyond_the_bound_are_not_read_and_that_is_said() {
        let (secrets, asked) = start().await;
        let mut names = vec!["500"; MAX_SECRETS];
        names.push("pull");
        let (read, missing) = of(&secrets, "shop", &names).await;
        let missing = missing.unwrap();
        assert!(read.is_empty());
        assert!(!missing.is_outage());
        assert_eq!(missing.detail(), "the pod names 9 pull secrets, and 8 at most are read");
        assert!(!asked.lock().unwrap().contains(&"shop/pull".to_owned()));
    }

    #[tokio::test]
    async fn what_is_no_name_is_asked_for_nowhere() {
        let (secrets, asked) = start().await;
        let long = "a".repeat(MAX_NAME + 1);
        for name in
            ["", ".", "..", "../pull", "pull?limit=1", "pull#a", "a/b", "Pull", "-a", "a-", "a..b", &long]
        {
            let (read, missing) = of(&secrets, "shop", &[name]).await;
            assert!(read.is_empty(), "{name}");
            let missing = missing.unwrap();
            assert!(!missing.is_outage() && missing.detail().contains("no name of a secret"), "{missing:?}");
        }
        let (_, missing) = of(&secrets, "shop/secrets/pull?", &["a"]).await;
        assert!(matches!(missing, Some(Missing::PullSecret { outage: false, .. })), "{missing:?}");
        let (_, missing) = of(&secrets, "shop", &["a\u{1b}[31m"]).await;
        assert!(missing.unwrap().detail().contains("shop/a\\u{1b}[31m: "));
        assert_eq!(*asked.lock().unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn the_api_servers_own_trouble_alone_is_an_outage() {
        let (secrets, _) = start().await;
        for (name, outage) in [
            ("400", false),
            ("401", false),
            ("403", false),
            ("404", false),
            ("429", true),
            ("500", true),
            ("503", true),
        ] {
            let (_, missing) = of(&secrets, "shop", &[name]).await;
            assert_eq!(missing.map(|missing| missing.is_outage()), Some(outage), "{name}");
        }
        let (_, forbidden) = of(&secrets, "shop", &["403"]).await;
        assert!(forbidden.unwrap().detail().contains("needs `get` for secrets"));
        // Whatever else is out of order, what the pod names wrongly is a no.
        for names in [["500", "404"], ["404", "500"]] {
            let (_, missing) = of(&secrets, "shop", &names).await;
            assert!(!missing.unwrap().is_outage(), "{names:?}");
        }
        let gone = Secrets::new(Client::try_from(config("127.77.77.77:9")).unwrap());
        let (_, missing) = of(&gone, "shop", &["pull"]).await;
        assert!(missing.unwrap().is_outage());
    }
}
