//! The events that a sensor has told so far.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use zastava_common::event::{
    json::{MAX_JSON, from_json},
    v1::Event,
};

/// Events that wait between the sensor's pipe and the test.
const WAITING: usize = 1 << 16;

/// Reads JSON lines on a thread of its own, so that the sensor never waits for the test.
#[derive(Debug)]
pub struct Inbox {
    lines: Receiver<Result<Event, String>>,
    events: Vec<Event>,
}

impl Inbox {
    pub fn new(from: impl Read + Send + 'static) -> Self {
        let (sender, lines) = sync_channel(WAITING);
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = from.by_ref().take(MAX_JSON as u64 + 1).read_until(b'\n', &mut line);
                let event = match read {
                    Ok(0) => return,
                    Ok(_) => from_json(&line)
                        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&line))),
                    Err(error) => Err(error.to_string()),
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { lines, events: Vec::new() }
    }

    /// All since the last [`Self::forget`].
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn forget(&mut self) {
        self.events.clear();
    }

    /// Waits until `enough` says yes to the events so far; `false` when that took too long.
    pub fn wait(&mut self, patience: Duration, mut enough: impl FnMut(&[Event]) -> bool) -> Result<bool> {
        let deadline = Instant::now() + patience;
        let mut looked = usize::MAX;
        loop {
            // Take all that is there before looking.
            while let Ok(event) = self.lines.try_recv() {
                self.take(event)?;
            }
            if looked != self.events.len() {
                looked = self.events.len();
                if enough(&self.events) {
                    return Ok(true);
                }
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }

    /// Takes all until the sensor has closed its end.
    pub fn finish(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout) => bail!("the sensor's output is still open"),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn take(&mut self, event: Result<Event, String>) -> Result<()> {
        match event {
            Ok(event) => self.events.push(event),
            Err(error) => bail!("the sensor wrote what is no event: {error}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn events_are_awaited_and_kept_until_forgotten() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut inbox = Inbox::new(reader);
        writer.write_all(b"{\"eventId\":\"1\"}\n{\"eventId\":\"2\"}\n").unwrap();
        assert!(inbox.wait(Duration::from_secs(10), |events| events.len() == 2).unwrap());
        assert_eq!(inbox.events()[1].event_id, "2");
        inbox.forget();
        assert!(!inbox.wait(Duration::ZERO, |events| !events.is_empty()).unwrap());
        drop(writer);
        inbox.finish(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error() {
        let mut inbox = Inbox::new(&b"not JSON\n"[..]);
        assert!(inbox.wait(Duration::from_secs(10), |_| false).is_err());
    }
}
