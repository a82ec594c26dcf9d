use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::{place::Place, url};
use crate::{
    evidence::{Fault, reference::Host},
    net::percent,
};

/// The most that a token server's answer takes.
pub(super) const MAX_TOKEN_ANSWER: usize = 64 * 1024;

/// How long a token holds whose server does not say (distribution's token specification).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);

/// However long it is said to hold.
const MAX_LIFE: Duration = Duration::from_hours(1);

/// It is no longer used so long before its end.
const MARGIN: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A token for one repository, and how long it may be used.
pub(super) fn read(body: &[u8]) -> Result<(String, Duration), String> {
    let TokenAnswer { token, access_token, expires_in } =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let token = token.or(access_token).filter(|token| !token.is_empty()).ok_or("it holds no token")?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has other than visible ASCII characters".to_owned());
    }
    let life = expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
    Ok((token, life.saturating_sub(MARGIN)))
}

/// The token server's URL with what is asked of it. Refuses a realm that is no place to send anything to.
pub(super) fn ask(
    place: &Place,
    from: &Uri,
    realm: &str,
    service: Option<&str>,
    scope: &str,
) -> Result<Uri, Fault> {
    let refused = |why| Fault::RealmRefused { host: place.host.to_string(), realm: shown(realm), why };
    let url = url::resolve(from, realm).map_err(refused)?;
    let mut text = url.to_string();
    text.push(if url.query().is_some() { '&' } else { '?' });
    if let Some(service) = service {
        text.push_str("service=");
        percent::encode(service, &mut text);
        text.push('&');
    }
    text.push_str("scope=");
    percent::encode(scope, &mut text);
    text.parse().map_err(|_| refused("that is no URL"))
}

/// Whether the realm's host may be given the credentials that are for the registry at `place`: it is the same host, one
/// of the same domain, the domain itself, or listed.
pub(super) fn may_have_credentials(place: &Place, realm: &Uri) -> bool {
    let Some((host, port)) = url::origin(realm) else { return false };
    let is = |known: &Host| known.name() == host && known.port().unwrap_or(443) == port;
    let registry = place.host.name();
    let own_port = place.host.port().unwrap_or(if place.plain_http { 80 } else { 443 });
    if place.token_hosts.iter().any(is) || (host == registry && port == own_port) {
        return true;
    }
    if place.plain_http || port != 443 || place.host.address().is_some() {
        return false;
    }
    let domain = |name: &str| name.split_once('.').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
    let own = domain(registry);
    own.contains('.') && (host == own || domain(&host) == own)
        || (domain(&host) == registry && registry.contains('.'))
}

/// What a registry wrote, as much of it as fits into a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use super::*;
    use crate::evidence::registry::{
        config::{Endpoint, Registry, RegistryConfig},
        place,
    };

    fn at(host: &str, plain_http: bool, token_hosts: &[&str]) -> Arc<Place> {
        let host: Host = host.parse().unwrap();
        let token_hosts: BTreeSet<Host> = token_hosts.iter().map(|host| host.parse().unwrap()).collect();
        let endpoint = Endpoint { plain_http, token_hosts, ..Endpoint::new(host.clone()) };
        let registry = Registry::new(host.clone(), vec![endpoint]);
        let config = RegistryConfig { registries: vec![registry], ..RegistryConfig::default() };
        Arc::clone(&place::build(&config).unwrap().0[&host][0])
    }

    fn may(place: &Place, realm: &'static str) -> bool {
        may_have_credentials(place, &Uri::from_static(realm))
    }

    #[test]
    fn credentials_go_to_the_registrys_own_domain_and_nowhere_else() {
        let place = at("reg.acme.test", false, &[]);
        for own in ["https://reg.acme.test/t", "https://auth.acme.test/t", "https://acme.test/jwt/auth"] {
            assert!(may(&place, own), "{own}");
        }
        let others = [
            "https://acme.test.evil.test/t",
            "https://evil-acme.test/t",
            "https://a.b.acme.test/t",
            "https://test/t",
            "https://reg.acme.test:8443/t",
            "https://169.254.169.254/t",
        ];
        for other in others {
            assert!(!may(&place, other), "{other}");
        }
        assert!(!may(&at("acme.test", false, &[]), "https://evil.test/t"), "a top-level domain is nobody's");
        assert!(may(&at("acme.test", false, &[]), "https://auth.acme.test/t"));
        assert!(may(&at("reg.acme.test", false, &["login.sso.test:8443"]), "https://login.sso.test:8443/t"));
        assert!(!may(&at("10.0.0.1", false, &[]), "https://11.0.0.1/t"), "an address has no domain");
        assert!(may(&at("reg.test:5000", true, &[]), "http://reg.test:5000/t"));
    }

    #[test]
    fn a_question_to_a_token_server_cannot_be_written_by_the_registry() {
        let place = at("reg.acme.test", false, &[]);
        let from = Uri::from_static("https://reg.acme.test/v2/");
        let url = ask(&place, &from, "https://auth.acme.test/t", Some("a&scope=x #"), "repository:a/b:pull")
            .unwrap();
        assert_eq!(
            url,
            "https://auth.acme.test/t?service=a%26scope%3Dx%20%23&scope=repository%3Aa%2Fb%3Apull"
        );
        let realm = ask(&place, &from, "http://auth.acme.test/t", None, "s");
        assert!(matches!(realm, Err(Fault::RealmRefused { why: "that leaves TLS", .. })));
    }

    #[test]
    fn a_token_is_read_from_either_name_and_never_held_for_long() {
        assert_eq!(read(br#"{"token":"a"}"#), Ok(("a".into(), Duration::from_secs(55))));
        let long = read(br#"{"access_token":"b","expires_in":99999}"#);
        assert_eq!(long, Ok(("b".into(), Duration::from_secs(3595))));
        for bad in [&br#"{"token":""}"#[..], br#"{"token":"a\r\nX: y"}"#, b"{}", b"", br#"{"token":1}"#] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
