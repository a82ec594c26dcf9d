use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

/// Debian's docker-registry, which has no referrers API.
pub(crate) struct DockerRegistry {
    pub(crate) host: String,
    child: Child,
    _folder: TempDir,
}

impl DockerRegistry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n",
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
        Self { host, child, _folder: folder }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
