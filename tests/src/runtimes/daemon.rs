//! A runtime's own process.

use std::{
    fs::{self, File},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// A busy machine; a free one needs 25 ms for containerd and 700 for dockerd.
const START: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(5);
/// Lines of its log that an error shows.
const SHOWN: usize = 30;

/// Killed when dropped; what it started is for [`super::home::Home`] to end.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a daemon and waits until it accepts connections at `socket`. Its output goes to `log`.
    pub fn start(command: &mut Command, socket: &Path, log: &Path) -> Result<Self> {
        // One of a daemon that was killed would say that this one is ready.
        let _ = fs::remove_file(socket);
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut daemon = Self { child, log: log.to_owned() };
        let deadline = Instant::now() + START;
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("{command:?} ended with {status}:\n{}", daemon.tail());
            }
            if Instant::now() > deadline {
                bail!("{command:?} does not listen at {}:\n{}", socket.display(), daemon.tail());
            }
            thread::sleep(PAUSE);
        }
        Ok(daemon)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Without a word of warning.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
