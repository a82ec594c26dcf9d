//! Lines on the standard output or in a file, written once per batch.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, IsTerminal as _, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zastava_common::event::{
    json::{JsonError, to_json_line},
    v1::Event,
};

use super::pretty::Pretty;

/// Bytes from which on lines are written before the batch is complete.
const CHUNK: usize = 256 << 10;

/// The form of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Pretty,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Not a failure: whoever read has read enough.
    #[error("the reader of the output is gone")]
    ReaderGone,
    #[error("cannot write events to {0}: {1}")]
    Write(String, io::Error),
    #[error("cannot open {0} for events: {1}")]
    Open(PathBuf, io::Error),
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// Where lines go.
pub struct Output {
    form: Form,
    to: Box<dyn Write + Send>,
    name: String,
}

enum Form {
    Json(Vec<u8>),
    Pretty(Pretty, String),
}

impl Output {
    /// Lines on the standard output, in colours where it is a terminal and nobody said otherwise.
    pub fn stdout(format: Format, colour: bool) -> Result<Self, OutputError> {
        let name = "the standard output";
        let stdout = io::stdout();
        // A handle of our own: the library's would look for newlines in what we write.
        let handle = stdout
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| OutputError::Write(name.to_owned(), error))?;
        let terminal = stdout.is_terminal();
        let mut output = Self::new(format, colour && terminal, Box::new(File::from(handle)), name.to_owned());
        if let (Form::Pretty(pretty, buffer), true) = (&mut output.form, terminal) {
            pretty.header(buffer);
        }
        Ok(output)
    }

    /// Lines at the end of a file, which is made for its owner alone.
    pub fn file(format: Format, path: &Path) -> Result<Self, OutputError> {
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| OutputError::Open(path.to_owned(), error))?;
        Ok(Self::new(format, false, Box::new(file), path.display().to_string()))
    }

    pub(crate) fn new(format: Format, colour: bool, to: Box<dyn Write + Send>, name: String) -> Self {
        let form = match format {
            Format::Json => Form::Json(Vec::new()),
            Format::Pretty => Form::Pretty(Pretty { colour }, String::new()),
        };
        Self { form, to, name }
    }

    /// Adds a line to what [`Self::flush`] writes.
    pub fn push(&mut self, event: &Event) -> Result<(), OutputError> {
        let gathered = match &mut self.form {
            Form::Json(buffer) => {
                to_json_line(event, buffer)?;
                buffer.len()
            }
            Form::Pretty(pretty, buffer) => {
                pretty.line(event, buffer);
                buffer.len()
            }
        };
        if gathered >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Writes what was pushed. After an error that is gone.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        let bytes = match &mut self.form {
            Form::Json(buffer) => buffer.as_slice(),
            Form::Pretty(_, buffer) => buffer.as_bytes(),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.to.write_all(bytes);
        match &mut self.form {
            Form::Json(buffer) => buffer.clear(),
            Form::Pretty(_, buffer) => buffer.clear(),
        }
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => OutputError::ReaderGone,
            _ => OutputError::Write(self.name.clone(), error),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn event(id: &str) -> Event {
        Event { event_id: id.to_owned(), ..Event::default() }
    }

    /// Keeps each write apart.
    struct Writes(std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_one_write() {
        let (sender, writes) = std::sync::mpsc::channel();
        let mut output = Output::new(Format::Json, false, Box::new(Writes(sender)), String::new());
        for id in ["1", "2", "3"] {
            output.push(&event(id)).unwrap();
        }
        output.flush().unwrap();
        output.flush().unwrap();
        assert_eq!(writes.try_iter().count(), 1);
        // A batch of any size needs no buffer of its size.
        for _ in 0..20_000 {
            output.push(&event("0123456789012345678901234567890123456789")).unwrap();
        }
        output.flush().unwrap();
        assert!(writes.try_iter().all(|bytes| bytes.len() < CHUNK + 1000 && bytes.ends_with(b"\n")));
    }

    #[test]
    fn a_file_is_continued_and_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.json");
        for id in ["1", "2"] {
            let mut output = Output::file(Format::Json, &path).unwrap();
            output.push(&event(id)).unwrap();
            output.flush().unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"eventId\":\"1\"}\n{\"eventId\":\"2\"}\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(Output::file(Format::Json, root.path()), Err(OutputError::Open(..))));
    }

    #[test]
    fn a_reader_that_left_and_a_full_disk_are_told_apart() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut output = Output::new(Format::Pretty, false, Box::new(writer), String::new());
        output.push(&event("1")).unwrap();
        assert!(matches!(output.flush(), Err(OutputError::ReaderGone)));
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut output = Output::new(Format::Json, false, Box::new(full), "/dev/full".to_owned());
        output.push(&event("1")).unwrap();
        assert!(matches!(output.flush(), Err(OutputError::Write(..))));
    }
}
