use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// How long a certificate and its authority hold.
pub(super) const LIFE: Duration = Duration::from_hours(90 * 24);
/// Clocks of a cluster differ.
const SKEW: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for {names}: {source}")]
pub struct MakeError {
    names: String,
    source: rcgen::Error,
}

/// A serving certificate and the authority that signed it, all as PEM.
#[derive(Clone, Debug)]
pub struct Made {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// A pair for these DNS names, by an authority that signs nothing else ever.
pub fn make(names: &[String], now: SystemTime) -> Result<Made, MakeError> {
    pair(names, now).map_err(|source| MakeError { names: names.join(", "), source })
}

fn pair(names: &[String], now: SystemTime) -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = params(Vec::new(), "zastava-webhook authority", now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_certificate = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate()?;
    let name = names.first().map_or("zastava-webhook", String::as_str);
    let mut serving = params(names.to_vec(), name, now)?;
    serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    serving.use_authority_key_identifier_extension = true;
    let certificate = serving.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
    Ok(Made {
        authority: authority_certificate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn params(names: Vec<String>, name: &str, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - SKEW).into();
    params.not_after = (now + LIFE).into();
    Ok(params)
}
