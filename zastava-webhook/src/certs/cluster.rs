use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Error as KubeError, api::PostParams};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    MakeError,
    expiry::{dns_names, not_after},
    make::{LIFE, Made, make},
};

/// Keys of a Secret of type `kubernetes.io/tls`, and the authorities beside them.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const KIND: &str = "kubernetes.io/tls";

/// Where one certificate ends.
const END: &str = "-----END CERTIFICATE-----\n";

/// Times that a write is tried when somebody else was faster.
const TRIES: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    #[error("cannot {what}: {source}")]
    Kube { what: String, source: KubeError },
    #[error("there is no ValidatingWebhookConfiguration {0}: apply deploy/kubernetes/webhook first")]
    NoConfiguration(String),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("somebody else writes {0} at the same time, again and again")]
    Contended(String),
}

/// What was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Done {
    /// Everything was as it should be.
    Nothing,
    /// The API server was told of the authorities again.
    Told,
    /// A new certificate is in the Secret, and the API server knows its authority.
    Renewed,
}

/// Where certificates are kept, and who is told of them.
pub struct Cluster {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    secret: String,
    configuration: String,
    /// What the certificate must be for.
    names: Vec<String>,
}

impl Cluster {
    /// `namespace`: of the Secret and of the Service.
    pub fn new(client: Client, namespace: &str, secret: &str, service: &str, configuration: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            configurations: Api::all(client),
            secret: secret.to_owned(),
            configuration: configuration.to_owned(),
            names: vec![
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}.svc.cluster.local"),
            ],
        }
    }

    /// Makes what is missing or will soon be out of date. Any number of these may run at once.
    pub async fn ensure(&self, now: SystemTime) -> Result<Done, CertsError> {
        for _ in 0..TRIES {
            let found =
                self.secrets.get_opt(&self.secret).await.map_err(|source| self.failed("read", source))?;
            let kept = found.as_ref().map(Kept::of).unwrap_or_default();
            if kept.is_fresh(&self.names, now) {
                let told = self.tell(&kept.authorities.concat()).await?;
                return Ok(if told { Done::Told } else { Done::Nothing });
            }
            let made = make(&self.names, now)?;
            // The API server first: until the pods have the new certificate they serve the old one.
            let authorities = [made.authority.clone()].into_iter().chain(kept.valid_authority(now));
            let authorities: Vec<String> = authorities.collect();
            self.tell(&authorities.concat()).await?;
            if self.write(found, &made, &authorities.concat()).await? {
                return Ok(Done::Renewed);
            }
            // Somebody else made one: theirs is the one that counts, and what the API server was told is put right.
        }
        Err(CertsError::Contended(self.secret.clone()))
    }

    /// `false`: somebody else was faster.
    async fn write(&self, found: Option<Secret>, made: &Made, authorities: &str) -> Result<bool, CertsError> {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [(CERTIFICATE, &*made.certificate), (KEY, &made.key), (AUTHORITIES, authorities)];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), bytes(value))).collect();
        let parameters = PostParams::default();
        let written = if let Some(mut secret) = found {
            // It carries the version that was read.
            secret.data = Some(data);
            self.secrets.replace(&self.secret, &parameters, &secret).await
        } else {
            let metadata = ObjectMeta { name: Some(self.secret.clone()), ..ObjectMeta::default() };
            let secret =
                Secret { metadata, type_: Some(KIND.to_owned()), data: Some(data), ..Secret::default() };
            self.secrets.create(&parameters, &secret).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(source) => Err(self.failed("write", source)),
        }
    }

    /// Puts the authorities into every entry of the configuration; `true` where that changed something.
    async fn tell(&self, authorities: &str) -> Result<bool, CertsError> {
        let name = &self.configuration;
        let failed = |what: &str, source| CertsError::Kube {
            what: format!("{what} the ValidatingWebhookConfiguration {name}"),
            source,
        };
        let wanted = Some(ByteString(authorities.as_bytes().to_vec()));
        for _ in 0..TRIES {
            let found = self.configurations.get_opt(name).await.map_err(|source| failed("read", source))?;
            let mut found = found.ok_or_else(|| CertsError::NoConfiguration(name.clone()))?;
            let mut changed = false;
            for webhook in found.webhooks.iter_mut().flatten() {
                if webhook.client_config.ca_bundle != wanted {
                    webhook.client_config.ca_bundle.clone_from(&wanted);
                    changed = true;
                }
            }
            if !changed {
                return Ok(false);
            }
            match self.configurations.replace(name, &PostParams::default(), &found).await {
                Ok(_) => return Ok(true),
                Err(error) if is_conflict(&error) => {}
                Err(source) => return Err(failed("write", source)),
            }
        }
        Err(CertsError::Contended(name.clone()))
    }

    fn failed(&self, what: &str, source: KubeError) -> CertsError {
        CertsError::Kube { what: format!("{what} the Secret {}", self.secret), source }
    }
}

/// 409: it is another version by now, or it is there already.
fn is_conflict(error: &KubeError) -> bool {
    matches!(error, KubeError::Api(status) if status.code == 409)
}

/// What the Secret holds.
#[derive(Debug, Default)]
struct Kept {
    /// PEM; the newest first.
    authorities: Vec<String>,
    certificate: Option<Vec<u8>>,
    has_key: bool,
}

impl Kept {
    fn of(secret: &Secret) -> Self {
        let empty = Vec::new();
        let value =
            |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map_or(&empty, |value| &value.0);
        let certificates = CertificateDer::pem_slice_iter(value(CERTIFICATE)).flatten();
        let authorities = String::from_utf8_lossy(value(AUTHORITIES)).into_owned();
        Self {
            authorities: authorities
                .split_inclusive(END)
                .filter(|one| one.ends_with(END))
                .map(str::to_owned)
                .collect(),
            certificate: certificates.into_iter().next().map(|der| der.to_vec()),
            has_key: !value(KEY).is_empty(),
        }
    }

    /// There is a certificate for these names, with more than a third of its life left.
    fn is_fresh(&self, names: &[String], now: SystemTime) -> bool {
        let Some(certificate) = &self.certificate else { return false };
        let holds = not_after(certificate).is_ok_and(|until| until > seconds(now + LIFE / 3));
        let fits = dns_names(certificate).is_ok_and(|its| names.iter().all(|name| its.contains(name)));
        holds && fits && self.has_key && !self.authorities.is_empty()
    }

    /// The authority of the certificate that is served until the new one arrives.
    fn valid_authority(&self, now: SystemTime) -> Option<String> {
        let newest = self.authorities.first()?;
        let der = CertificateDer::from_pem_slice(newest.as_bytes()).ok()?;
        (not_after(&der).ok()? > seconds(now)).then(|| newest.clone())
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
