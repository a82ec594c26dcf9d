//! What a running sensor tells those who ask it: `zastava-sensor containers` and `zastava-sensor watch`.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::event::v1::ContainerStatus;

use crate::{inbox::Inbox, sensor::program};

/// What runs, of these containers or, if none is named, of all.
pub fn listed(socket: &Path, containers: &[&str]) -> Result<Vec<ContainerStatus>> {
    let output = list(socket, containers, "json")?;
    output.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The same as people read it: the cells of each row.
pub fn table(socket: &Path, containers: &[&str]) -> Result<Vec<Vec<String>>> {
    let output = list(socket, containers, "table")?;
    let mut lines = output.lines().map(|line| line.chars().collect::<Vec<_>>());
    let titles = lines.next().context("a table without titles")?;
    // Two blanks at least stand between two columns, and one within a title.
    let begins =
        |at: usize| titles[at] != ' ' && titles[..at].iter().rev().take(2).all(|before| *before == ' ');
    let begins: Vec<usize> = (0..titles.len()).filter(|at| begins(*at)).collect();
    let cells = |line: Vec<char>| {
        let ends = begins.iter().skip(1).copied().chain([line.len()]);
        let cell = |(begin, end): (&usize, usize)| line.get(*begin..end).unwrap_or_default().iter().collect();
        begins.iter().zip(ends).map(cell).map(|cell: String| cell.trim().to_owned()).collect()
    };
    Ok(lines.map(cells).collect())
}

fn list(socket: &Path, containers: &[&str], form: &str) -> Result<String> {
    let mut command = Command::new(program()?);
    command.args(["containers", "--output", form, "--socket"]).arg(socket);
    command.args(named(containers));
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn named<'a>(containers: &'a [&str]) -> impl Iterator<Item = &'a str> {
    containers.iter().flat_map(|container| ["--container", container])
}

/// Follows a sensor's events until it is dropped. From when on it gets them nothing tells.
pub struct Watch {
    child: Child,
    pub inbox: Inbox,
}

impl Watch {
    /// Of these containers or, if none is named, of all.
    pub fn start(socket: &Path, containers: &[&str]) -> Result<Self> {
        let mut child = Command::new(program()?)
            .args(["watch", "--output", "json", "--socket"])
            .arg(socket)
            .args(named(containers))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let inbox = Inbox::new(child.stdout.take().context("no output")?);
        Ok(Self { child, inbox })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
