//! npm packages that tests run beside what they test, in a folder of the cache.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use super::packages::Package;
use crate::{places, step};

/// A certified OpenID Connect server: the Authority of the backend's tests.
const OIDC_PROVIDER: &str = "oidc-provider";

/// The version that the tests are written for.
const VERSION: &str = "9.13.3";

/// The Debian packages that it needs, where they are not here in another way.
pub(crate) fn wanted() -> Vec<Package> {
    let programs = [("node", "nodejs", "runs the Authority of the tests"), ("npm", "npm", "fetches it")];
    let absent = programs.into_iter().filter(|(program, ..)| places::on_path(program).is_none());
    absent.map(|(_, package, why)| Package::new(package, why)).collect()
}

pub(crate) fn is_here() -> Result<bool> {
    let manifest = folder()?.join("node_modules").join(OIDC_PROVIDER).join("package.json");
    let version = format!("\"version\": \"{VERSION}\"");
    Ok(fs::read_to_string(manifest).is_ok_and(|manifest| manifest.contains(&version)))
}

pub(crate) fn install() -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(folder()?)
        .arg(format!("{OIDC_PROVIDER}@{VERSION}"));
    step::quiet("Fetching the tests' Authority", &mut npm)
}

pub(crate) fn name() -> String {
    format!("{OIDC_PROVIDER} {VERSION}")
}

fn folder() -> Result<PathBuf> {
    Ok(places::cache()?.join("node"))
}
