//! What a tool told of one program: a figure without it would be worth nothing.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use zastava_common::event::{json::from_json, v1::event::Kind};

use crate::tool::{Output, Tool};

/// How often each was told. Losses are counted whatever program they hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) execs: u64,
    /// `None`: not this tool's business.
    pub(crate) exits: Option<u64>,
    pub(crate) lost_execs: u64,
    pub(crate) lost_exits: u64,
    /// Losses whose kind is not known: perf's.
    pub(crate) lost: u64,
}

impl Output {
    /// What was told of the program at `path`.
    pub(crate) fn told(&self, path: &Path) -> Result<Told> {
        let file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let lines = BufReader::new(file).split(b'\n');
        let mut told = Told::default();
        match self.tool {
            Tool::Execsnoop => {
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                for line in lines {
                    let is_it = line?.strip_prefix(name).is_some_and(|rest| rest.starts_with(b" "));
                    told.execs += u64::from(is_it);
                }
                // "Lost 12 events on CPU #0!"
                let lost = self.log.lines().filter_map(|line| line.strip_prefix("Lost ")?.split(' ').next());
                told.lost_execs = lost.filter_map(|count| count.parse::<u64>().ok()).sum();
            }
            Tool::Submit => {}
            Tool::Sensor(_) => {
                told.exits = Some(0);
                let path = path.to_string_lossy();
                for line in lines {
                    told.add(&line?, &path)?;
                }
            }
        }
        Ok(told)
    }
}

impl Told {
    fn add(&mut self, line: &[u8], path: &str) -> Result<()> {
        let event = from_json(line).with_context(|| String::from_utf8_lossy(line).into_owned())?;
        let is_it = event.process.as_ref().is_some_and(|process| process.exe == path);
        match event.kind() {
            Kind::ProcessExec => self.execs += u64::from(is_it),
            Kind::ProcessExit => *self.exits.get_or_insert_default() += u64::from(is_it),
            Kind::Loss => {
                let loss = event.loss.unwrap_or_default();
                let count = loss.count.unwrap_or_default();
                match loss.kind.as_str() {
                    "exec" => self.lost_execs += count,
                    "exit" => self.lost_exits += count,
                    "unknown" => self.lost += count,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}
