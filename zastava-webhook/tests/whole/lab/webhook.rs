use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;
use zastava_webhook::certs::{Made, make};

use super::{Client, Registry, made};

/// The program in its own process, ended when this is dropped.
pub(crate) struct Webhook {
    pub(crate) address: SocketAddr,
    pub(crate) metrics_address: SocketAddr,
    pub(crate) authority: String,
    pub(crate) folder: TempDir,
    log: Receiver<String>,
    child: Child,
}

/// What a configuration has below `admission`, with a registry in it and the key that signed `app`.
pub(crate) fn config(registry: &Registry, more: &str) -> String {
    config_of(&registry.host, more)
}

/// The same for a registry at an address of this machine.
pub(crate) fn config_of(host: &str, more: &str) -> String {
    format!(
        "verify: {{imageSignature: true, sbomReferrer: false, scannerPolicyPass: false}}
verifiers: {{keys: [{{name: release, publicKey: {}}}]}}
registries: [{{host: \"{}\", plainHttp: true, private: true}}]
{more}
",
        made().join("keys/p256.pub").canonicalize().unwrap().display(),
        host
    )
}

pub(crate) fn webhook_program() -> PathBuf {
    env!("CARGO_BIN_EXE_zastava-webhook").into()
}

impl Webhook {
    /// `admission`: lines of the section, without the server's.
    pub(crate) fn start(admission: &str) -> Self {
        Self::with(&made_here(), admission, "")
    }

    /// `rest`: sections beside `admission`.
    pub(crate) fn with(certificate: &Made, admission: &str, rest: &str) -> Self {
        Self::in_cluster(certificate, admission, rest, None)
    }

    /// `kubernetes`: a file that says how the API server is spoken to.
    pub(crate) fn in_cluster(
        certificate: &Made,
        admission: &str,
        rest: &str,
        kubernetes: Option<&Path>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), admission, rest);
        write_pair(folder.path(), certificate);
        let mut child = Command::new(webhook_program())
            .envs(kubernetes.map(|file| ("KUBECONFIG", file)))
            .args(["serve", "--config"])
            .arg(folder.path().join("zastava.yaml"))
            .env("ZASTAVA_LOG", env::var("ZASTAVA_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut this = Self {
            address: ([0, 0, 0, 0], 0).into(),
            metrics_address: ([0, 0, 0, 0], 0).into(),
            authority: certificate.authority.clone(),
            folder,
            log,
            child,
        };
        let serving = this.line("serving");
        this.address = serving["address"].as_str().unwrap().parse().unwrap();
        this.metrics_address = serving["metrics_address"].as_str().unwrap().parse().unwrap();
        this
    }

    /// The next line of the log with that message.
    pub(crate) fn line(&self, message: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(30));
            match line.map(|line| serde_json::from_str(&line).unwrap_or(Value::String(line))) {
                Ok(line) if line["message"].as_str().is_some_and(|its| its.starts_with(message)) => {
                    return line;
                }
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line `{message}` ({error}) in {seen:#?}"),
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, &self.authority)
    }

    /// The most that it had in memory at once, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// What it has in memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Puts another certificate into place, as the kubelet does.
    pub(crate) fn swap(&self, certificate: &Made) {
        write_pair(self.folder.path(), certificate);
    }

    pub(crate) fn rewrite(&self, admission: &str) {
        write_config(self.folder.path(), admission, "");
    }

    /// As Kubernetes ends a pod.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// A page of the plain port: status and text.
    pub(crate) async fn page(&self, path: &str) -> Option<(u16, String)> {
        super::client::plain(self.metrics_address, path).await
    }

    /// The value of a metric with exactly these labels, as `name{label="value"}`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.page("/metrics").await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn made_here() -> Made {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    make(&[super::client::NAME.to_owned()], SystemTime::now()).unwrap()
}

/// Both are links through `..data`, which is swapped at once.
fn write_pair(folder: &Path, certificate: &Made) {
    let version = tempfile::Builder::new().prefix("..").tempdir_in(folder).unwrap().keep();
    fs::write(version.join("tls.crt"), &certificate.certificate).unwrap();
    fs::write(version.join("tls.key"), &certificate.key).unwrap();
    symlink(&version, folder.join("..next")).unwrap();
    fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        // There since the first time.
        let _ = symlink(Path::new("..data").join(file), folder.join(file));
    }
}

fn write_config(folder: &Path, admission: &str, rest: &str) {
    let indented = |text: &str, by: &str| format!("{by}{}\n", text.replace('\n', &format!("\n{by}")));
    let path = |file: &str| folder.join(file).display().to_string();
    let has_server = admission.lines().any(|line| line.starts_with("server:"));
    let server = "server:";
    let reload = if admission.contains("reloadSeconds") { "" } else { "\n  reloadSeconds: 1" };
    let more = format!(
        "  address: \"127.0.0.1:0\"\n  metricsAddress: \"127.0.0.1:0\"\n  certificateFile: {}\n  keyFile: {}{reload}",
        path("tls.crt"),
        path("tls.key")
    );
    let admission = if has_server {
        admission.replacen(server, &format!("{server}\n{more}"), 1)
    } else {
        format!("{admission}\n{server}\n{more}\n  drainSeconds: 1\n")
    };
    let text = format!("zastava:\n  admission:\n{}{}", indented(&admission, "    "), indented(rest, "  "));
    // At once, as an editor that is careful and the kubelet do.
    fs::write(folder.join("next"), text).unwrap();
    fs::rename(folder.join("next"), folder.join("zastava.yaml")).unwrap();
}
