use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// By `htpasswd -Bbn user word`.
const USERS: &str = "user:$2y$05$y7g0JSyIoUujr29ghIYyBeGClfOybJFso7qjC/Qr.YlZMXwrul352\n";

/// Debian's docker-registry, which has no referrers API.
pub(crate) struct DockerRegistry {
    pub(crate) host: String,
    child: Child,
    folder: TempDir,
}

impl DockerRegistry {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "")
    }

    /// Over TLS with a certificate for `localhost`, for `user` with the password `word` alone. The authority's
    /// certificate is in the folder.
    pub(crate) fn start_secured() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        fs::write(path.join("ca.crt"), authority.pem()).unwrap();
        fs::write(path.join("ca.der"), authority.der()).unwrap();
        fs::write(path.join("server.pem"), server.pem()).unwrap();
        fs::write(path.join("server-key.pem"), key.serialize_pem()).unwrap();
        fs::write(path.join("users"), USERS).unwrap();
        let at = path.display();
        let more = format!(
            "  tls:\n    certificate: {at}/server.pem\n    key: {at}/server-key.pem\nauth:\n  htpasswd:\n    realm: lab\n    \
             path: {at}/users\n"
        );
        let mut registry = Self::start_in(folder, &more);
        registry.host = registry.host.replace("127.0.0.1", "localhost");
        registry
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start_in(folder: TempDir, more: &str) -> Self {
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n{more}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is needed: cargo xtask setup");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let host = log
            .find_map(|line| {
                let line = line.unwrap();
                let (_, address) = line.split_once("listening on ")?;
                Some(address.split(['"', ',', ' ']).next()?.to_owned())
            })
            .expect("docker-registry says where it listens");
        // Nobody reads on, and it must not wait for that.
        thread::spawn(move || log.for_each(drop));
        Self { host, child, folder }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
