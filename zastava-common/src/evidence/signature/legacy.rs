//! What cosign 1 and 2 keep below the tags `.sig` and `.att`: layers, with signature, certificate and log entry beside
//! them in annotations.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::types::{Bundle, DsseEnvelope};

use super::{
    claim::{Claim, IN_TOTO},
    read::{By, Message, NoSignature, Signature},
};
use crate::evidence::{Digest, Form, digest::unhex, manifest::Annotations};

/// The media type of a signature's layer.
pub const SIMPLE_SIGNING_LAYER: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The media type of an attestation's layer.
pub const ENVELOPE_LAYER: &str = "application/vnd.dsse.envelope.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Certificates of a chain that are taken.
const MAX_CHAIN: usize = 8;

/// One layer, fetched and compared with its digest.
#[derive(Clone, Copy, Debug)]
pub struct LegacyLayer<'a> {
    pub content: &'a [u8],
    pub digest: &'a Digest,
    pub annotations: &'a Annotations,
}

/// Rekor's answer as cosign keeps it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogEntry {
    signed_entry_timestamp: String,
    payload: LogPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogBody {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: Option<String>,
}

/// A simple-signing payload with its signature beside it.
pub fn read_simple(layer: LegacyLayer<'_>) -> Result<Signature, NoSignature> {
    let LegacyLayer { content, digest, annotations } = layer;
    let claim = Claim::simple(content)?;
    let written = annotations.get(SIGNATURE).ok_or(NoSignature::Missing)?;
    let signature = STANDARD.decode(written.trim()).map_err(|_| NoSignature::Missing)?;
    if signature.is_empty() {
        return Err(NoSignature::Missing);
    }
    let hash = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content));
    let part = json!({ "messageSignature": {
        "messageDigest": { "algorithm": "SHA2_256", "digest": hash },
        "signature": STANDARD.encode(&signature),
    }});
    Ok(Signature {
        form: Form::Legacy,
        claim,
        message: Message::Bytes(content.to_vec()),
        made: signature,
        by: by(annotations),
        bundle: bundle(part, annotations),
        source: digest.clone(),
    })
}

/// A DSSE envelope with what proves it beside it.
pub fn read_attestation(layer: LegacyLayer<'_>) -> Result<Signature, NoSignature> {
    let LegacyLayer { content, digest, annotations } = layer;
    let envelope: DsseEnvelope =
        serde_json::from_slice(content).map_err(|error| NoSignature::Envelope(error.to_string()))?;
    if envelope.payload_type != IN_TOTO {
        return Err(NoSignature::PayloadType(envelope.payload_type));
    }
    let claim = Claim::statement(envelope.payload.as_bytes())?;
    let part = serde_json::to_value(&envelope).map_err(|error| NoSignature::Envelope(error.to_string()))?;
    Ok(Signature {
        form: Form::Legacy,
        claim,
        message: Message::Bytes(envelope.pae()),
        made: envelope.signature.sig.as_bytes().to_vec(),
        by: by(annotations),
        bundle: bundle(json!({ "dsseEnvelope": part }), annotations),
        source: digest.clone(),
    })
}

fn by(annotations: &Annotations) -> By {
    match annotations.get(CERTIFICATE) {
        Some(certificate) if !certificate.trim().is_empty() => By::Certificate,
        _ => By::Key(None),
    }
}

/// A bundle of version 0.1, which needs no more than cosign kept: the log's promise, without a proof.
fn bundle(content: Value, annotations: &Annotations) -> Result<Bundle, String> {
    let material = match by(annotations) {
        By::Key(_) => json!({ "publicKey": { "hint": "" } }),
        By::Certificate => {
            let certificates = [CERTIFICATE, CHAIN].into_iter().filter_map(|name| annotations.get(name));
            let certificates: Vec<Value> = certificates
                .flat_map(|pem| certificates_of(pem))
                .take(MAX_CHAIN)
                .map(|der| json!({ "rawBytes": der }))
                .collect();
            json!({ "x509CertificateChain": { "certificates": certificates } })
        }
    };
    let Value::Object(mut material) = material else { return Err("no material".to_owned()) };
    if let Some(entry) = annotations.get(BUNDLE) {
        material.insert("tlogEntries".to_owned(), json!([log_entry(entry)?]));
    }
    if let Some(timestamp) = annotations.get(TIMESTAMP) {
        let Timestamp { signed } =
            serde_json::from_str(timestamp).map_err(|error| format!("its timestamp: {error}"))?;
        if let Some(timestamp) = signed {
            let timestamps = json!({ "rfc3161Timestamps": [{ "signedTimestamp": timestamp }] });
            material.insert("timestampVerificationData".to_owned(), timestamps);
        }
    }
    let Value::Object(mut bundle) = content else { return Err("no content".to_owned()) };
    bundle.insert("mediaType".to_owned(), json!("application/vnd.dev.sigstore.bundle+json;version=0.1"));
    bundle.insert("verificationMaterial".to_owned(), Value::Object(material));
    serde_json::from_value(Value::Object(bundle)).map_err(|error| error.to_string())
}

fn log_entry(text: &str) -> Result<Value, String> {
    let LogEntry { signed_entry_timestamp, payload } =
        serde_json::from_str(text).map_err(|error| format!("its log entry: {error}"))?;
    let LogPayload { body, integrated_time, log_index, log_id } = payload;
    let decoded = STANDARD.decode(&body).map_err(|error| format!("its log entry's body: {error}"))?;
    let LogBody { api_version, kind } =
        serde_json::from_slice(&decoded).map_err(|error| format!("its log entry's body: {error}"))?;
    let log_id = unhex(&log_id).ok_or("its log entry's log id is no hexadecimal number")?;
    Ok(json!({
        "logIndex": log_index.to_string(),
        "logId": { "keyId": STANDARD.encode(log_id) },
        "kindVersion": { "kind": kind, "version": api_version },
        "integratedTime": integrated_time.to_string(),
        "inclusionPromise": { "signedEntryTimestamp": signed_entry_timestamp },
        "canonicalizedBody": body,
    }))
}

/// The base64 of each certificate of a PEM text.
fn certificates_of(pem: &str) -> Vec<String> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let ends = blocks.filter_map(|block| block.split_once("-----END CERTIFICATE-----"));
    ends.map(|(inside, _)| inside.split_whitespace().collect()).collect()
}
