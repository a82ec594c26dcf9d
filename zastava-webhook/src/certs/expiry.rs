use x509_cert::{Certificate, der::Decode as _, ext::pkix::SubjectAltName, ext::pkix::name::GeneralName};

/// When a certificate (DER) is out of date, in seconds since 1970.
pub fn not_after(certificate: &[u8]) -> Result<i64, String> {
    let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let until = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Ok(i64::try_from(until.as_secs()).unwrap_or(i64::MAX))
}

/// The DNS names that a certificate (DER) is for.
pub(super) fn dns_names(certificate: &[u8]) -> Result<Vec<String>, String> {
    let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let names = certificate.tbs_certificate.get::<SubjectAltName>().map_err(|error| error.to_string())?;
    let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    Ok(names
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        })
        .collect())
}
