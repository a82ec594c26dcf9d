//! What no single value can tell: names that must be known or unique, keys that belong together.

use std::collections::HashSet;

use super::Admission;
use crate::config::{Fault, Label, What, nearest::nearest};

/// The first fault, if there is one. Its key says where.
pub(in crate::config) fn check(admission: &Admission) -> Result<(), Box<Fault>> {
    let names: Vec<&str> = admission.verifiers.names().map(Label::as_str).collect();
    verifiers(admission)?;
    rule("zastava.admission.signature", &admission.signature.verifiers, &names)?;
    for (at, rules) in admission.namespaces.iter().enumerate() {
        let here = format!("zastava.admission.namespaces[{at}]");
        if rules.names.is_empty() {
            return Err(refused(format!("{here}.names"), "an empty list")
                .allowed("at least one namespace")
                .into());
        }
        if let Some(signature) = &rules.signature {
            rule(&format!("{here}.signature"), &signature.verifiers, &names)?;
        }
    }
    registries(admission)
}

fn verifiers(admission: &Admission) -> Result<(), Box<Fault>> {
    let super::Verifiers { keys, keyless } = &admission.verifiers;
    let here = "zastava.admission.verifiers";
    let keys = keys.iter().enumerate().map(|(at, key)| (format!("{here}.keys[{at}]"), &key.name));
    let identities = keyless.iter().enumerate().map(|(at, one)| (format!("{here}.keyless[{at}]"), &one.name));
    let mut known = HashSet::new();
    for (key, name) in keys.chain(identities) {
        if !known.insert(name) {
            let fault = refused(format!("{key}.name"), name.as_str());
            return Err(fault.allowed("a name that no verifier before it has").into());
        }
    }
    for (at, one) in keyless.iter().enumerate() {
        if one.subject.is_some() == one.subject_pattern.is_some() {
            let found = if one.subject.is_some() { "subject and subjectPattern" } else { "no subject" };
            let fault = refused(format!("{here}.keyless[{at}]"), found);
            return Err(fault.allowed("either subject or subjectPattern").into());
        }
    }
    Ok(())
}

/// Names in a rule are names of verifiers.
fn rule(key: &str, verifiers: &[Label], names: &[&str]) -> Result<(), Box<Fault>> {
    let Some(at) = verifiers.iter().position(|name| !names.contains(&name.as_str())) else { return Ok(()) };
    let written = verifiers[at].as_str();
    let allowed = if names.is_empty() {
        "names under zastava.admission.verifiers".to_owned()
    } else {
        names.join(", ")
    };
    let fault = Fault {
        meant: nearest(written, names).map(str::to_owned),
        ..refused(format!("{key}.verifiers[{at}]"), written).allowed(allowed)
    };
    Err(fault.into())
}

fn registries(admission: &Admission) -> Result<(), Box<Fault>> {
    let mut known = HashSet::new();
    for (at, registry) in admission.registries.iter().enumerate() {
        let here = format!("zastava.admission.registries[{at}]");
        if !known.insert(&registry.host) {
            return Err(refused(format!("{here}.host"), registry.host.as_str())
                .allowed("each host once")
                .into());
        }
        if registry.username_file.is_some() != registry.password_file.is_some() {
            return Err(refused(here, "one of two").allowed("usernameFile and passwordFile together").into());
        }
        if registry.plain_http && registry.ca_file.is_some() {
            return Err(refused(here, "plainHttp and caFile").allowed("one of them").into());
        }
    }
    Ok(())
}

fn refused(key: String, found: &str) -> Fault {
    Fault::new(key, What::NotAllowed { found: found.to_owned() })
}
