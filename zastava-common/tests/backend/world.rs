//! `authority.cjs`, started for one test: of the backend's client, or of the webhook.
#![allow(dead_code, reason = "each uses another part of it")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use zastava_common::backend::{BackendSettings, ClientCertificate};

pub(crate) struct World {
    pub(crate) issuer: String,
    pub(crate) backend: String,
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl World {
    /// Tokens live `ttl` seconds; with `nonce`, proofs must hold one.
    pub(crate) fn start(ttl: u64, nonce: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../zastava-common/tests/backend/authority.cjs");
        let mut child = Command::new("node")
            .arg(script)
            .env("MODULES", modules())
            .env("CERT", folder.path().join("server.pem"))
            .env("KEY", folder.path().join("server.key"))
            .env("CA", folder.path().join("ca.pem"))
            .env("CLIENT_CERT", folder.path().join("client.pem"))
            .env("TTL", ttl.to_string())
            .env("NONCE", if nonce { "yes" } else { "no" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is needed: cargo xtask setup");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let orders = child.stdin.take().unwrap();
        let first = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("listening ").map(str::to_owned)
        });
        let first = first.expect("the npm package oidc-provider is needed: cargo xtask setup");
        let (issuer, backend) = first.split_once(' ').unwrap();
        Self { issuer: issuer.to_owned(), backend: backend.to_owned(), child, orders, lines, folder }
    }

    pub(crate) fn settings(&self) -> BackendSettings {
        BackendSettings {
            base_address: self.backend.clone(),
            policy_path: "/api/v1/scanner/policy/runtime".to_owned(),
            within: Duration::from_secs(10),
            authorities: vec![fs::read(self.folder.path().join("ca.der")).unwrap()],
            certificate: None,
            authority: None,
        }
    }

    /// Has `ca.pem`, and for `client` its certificate and key.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn certificate(&self) -> ClientCertificate {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap();
        ClientCertificate { chain: read("client.pem"), key: read("client.key") }
    }

    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next lines, as many as `count`.
    pub(crate) fn told(&mut self, count: usize) -> Vec<String> {
        self.lines.by_ref().take(count).map(Result::unwrap).collect()
    }

    pub(crate) fn saw(&mut self, expected: &[&str]) {
        assert_eq!(self.told(expected.len()), expected);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `cargo xtask setup` puts npm packages.
fn modules() -> PathBuf {
    let from = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("ZASTAVA_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("zastava")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/zastava")));
    cache.expect("a cache: set HOME").join("node/node_modules")
}

fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("ca.der"), authority.der()).unwrap();
    for (name, host) in [("server", "localhost"), ("client", "client.test")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
