//! Where a registry may send us.

#[cfg(test)]
mod tests;

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Host, lower-case, and port: what two URLs must share to be of one server.
pub(super) fn origin(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
    Some((host, port))
}

/// What `target` (a `Location` or a link) means where it was found. Refuses what is no HTTP URL, hides a name and a
/// password, or leaves TLS where there was.
pub(super) fn resolve(from: &Uri, target: &str) -> Result<Uri, &'static str> {
    let target: Uri = target.parse().map_err(|_| "that is no URL")?;
    let mut parts = target.into_parts();
    match (&parts.scheme, &parts.authority) {
        (None, None) => {
            let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::as_str);
            // Two slashes would be another host, for whoever reads them so.
            if !path.starts_with('/') || path.starts_with("//") {
                return Err("that is no path from the root");
            }
            parts.scheme = from.scheme().cloned();
            parts.authority = from.authority().cloned();
        }
        (Some(_), Some(_)) => {}
        _ => return Err("that is no whole URL"),
    }
    let user =
        parts.authority.as_ref().map(Authority::as_str).is_some_and(|authority| authority.contains('@'));
    if user {
        return Err("that has a name or password in it");
    }
    let uri = Uri::from_parts(parts).map_err(|_| "that is no URL")?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if from.scheme() == Some(&Scheme::HTTP) => Ok(uri),
        Some("http") => Err("that leaves TLS"),
        _ => Err("that is no HTTP"),
    }
}

/// The target of `rel="next"` in `Link` headers (RFC 8288).
pub(super) fn next_link<'a>(headers: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    headers.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(target, _)| target)
}

/// Targets with their parameters, unparsed. A target has no `>` in it; a comma inside of one is its own.
fn links(header: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let Some((target, behind)) = behind.split_once('>') else { break };
        let end = behind.find('<').unwrap_or(behind.len());
        let (parameters, behind) = behind.split_at(end);
        links.push((target, parameters));
        rest = behind;
    }
    links
}

fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
        })
    })
}
