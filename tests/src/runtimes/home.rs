//! A directory in which a runtime lives, and the watchman who clears it away.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};

use crate::sensor::find;

/// Everything that is started below it ends when this is dropped, and also when this process is killed: a child of
/// another process group waits for that.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    watchman: Child,
}

impl Home {
    pub fn new(scratch: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short: a socket's path has room for 107 bytes.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = scratch.join(format!("home-{number}"));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let watchman = Command::new(find("ZASTAVA_E2E", "zastava-e2e")?)
            .arg("reap")
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the watchman")?;
        Ok(Self { path, watchman })
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.watchman.stdin.take());
        match self.watchman.wait() {
            Ok(status) if status.success() => {}
            told => eprintln!("{} is not cleared away: {told:?}", self.path.display()),
        }
    }
}
