//! A process that stands for the host's first one, in namespaces of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Lives until it is dropped.
pub(crate) struct FirstProcess(Child);

impl FirstProcess {
    /// Runs `script` in a new namespace (an option of `unshare`), with `argument` as its `$0`, and lets it wait. `None` where it does not come so far, for
    /// want of rights.
    pub(crate) fn start(namespace: &str, script: &str, argument: impl AsRef<OsStr>) -> Option<Self> {
        let script = format!("{script}; echo ready; read -r _");
        let mut child = Command::new("unshare")
            .args([namespace, "sh", "-ec", &script])
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let this = Self(child);
        (line == "ready\n").then_some(this)
    }

    /// Gives it the place of the first process in a procfs.
    pub(crate) fn stand_in(&self, procfs: &Path) {
        symlink(format!("/proc/{}", self.0.id()), procfs.join("1")).unwrap();
    }
}

impl Drop for FirstProcess {
    fn drop(&mut self) {
        // It reads the end of its input.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
