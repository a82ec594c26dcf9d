//! `zastava-webhook certs`: certificates of the cluster's own, made and renewed.

use std::{process::ExitCode, time::SystemTime};

use clap::Args;
use kube::Client;

use super::{FAILED, USAGE, fail, log};
use crate::{
    certs::{CertsError, Cluster, Done},
    manifest::{NAME, NAMESPACE},
};

/// Make the serving certificate, keep it in a Secret, and tell the API server whom to trust. Renews what has less than a
/// third of its life left; else changes nothing. Meant to be run daily (deploy/kubernetes/webhook/certs.yaml)
#[derive(Debug, Args)]
pub(super) struct CertsArgs {
    /// Namespace of the Secret and of the Service
    #[arg(long, default_value = NAMESPACE)]
    namespace: String,
    /// The Secret
    #[arg(long, default_value = "zastava-webhook-tls")]
    secret: String,
    /// The Service that the API server asks by
    #[arg(long, default_value = NAME)]
    service: String,
    /// The ValidatingWebhookConfiguration that is told
    #[arg(long, default_value = NAME)]
    webhooks: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("there is no Kubernetes to talk to: {0}")]
    Kube(#[from] kube::Error),
    #[error(transparent)]
    Certs(#[from] CertsError),
}

pub(super) fn run(arguments: &CertsArgs) -> ExitCode {
    if let Err(error) = log::start(log::Form::Json, "info") {
        return fail(USAGE, &error);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILED, &error),
    };
    match runtime.block_on(ensure(arguments)) {
        Ok(Done::Nothing) => tracing::info!("certificate and authorities are as they should be"),
        Ok(Done::Told) => tracing::info!("the API server was told of the authorities again"),
        Ok(Done::Renewed) => tracing::info!("a new certificate was made"),
        Err(error) => return fail(FAILED, &error),
    }
    ExitCode::SUCCESS
}

async fn ensure(CertsArgs { namespace, secret, service, webhooks }: &CertsArgs) -> Result<Done, Error> {
    let client = Client::try_default().await?;
    Ok(Cluster::new(client, namespace, secret, service, webhooks).ensure(SystemTime::now()).await?)
}
