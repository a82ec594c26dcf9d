use std::{fs, path::Path};

use insta::assert_snapshot;

use crate::config::{Config, ConfigError, MAX_FILE_BYTES, load};

/// The error of a file of these bytes, with the directory cut off.
fn error(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zastava.yaml");
    fs::write(&path, bytes).unwrap();
    let error = load(&path).unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn a_file_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "zastava: {}\n").unwrap();

    assert_eq!(load(file.path()).unwrap(), Config::default());
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nonexistent/zastava.yaml")).unwrap_err();

    assert!(matches!(error, ConfigError::Read { .. }));
    assert_snapshot!(error, @"cannot read the configuration /nonexistent/zastava.yaml: No such file or directory (os error 2)");
}

#[test]
fn an_empty_file_is_an_error() {
    assert_snapshot!(error(b""), @r"
    zastava.yaml:1:1: nothing in it
      allowed: the key zastava with its sections
    ");
    assert_snapshot!(error(b"# later\n\n"), @r"
    zastava.yaml:3:1: nothing in it
      allowed: the key zastava with its sections
    ");
}

#[test]
fn bytes_that_are_not_utf_8_are_placed() {
    assert_snapshot!(error(b"zastava:\n  # caf\xe9\n"), @"zastava.yaml:2:8: not UTF-8 text");
    assert_snapshot!(error(b"\xff"), @"zastava.yaml:1:1: not UTF-8 text");
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let mut bytes = b"zastava: {}\n".to_vec();
    bytes.resize(MAX_FILE_BYTES as usize, b'\n');
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    assert_eq!(load(file.path()).unwrap(), Config::default());

    bytes.push(b'\n');
    assert_snapshot!(error(&bytes), @"zastava.yaml: larger than 1048576 bytes, which no configuration is");
    assert!(matches!(load(Path::new("/dev/zero")), Err(ConfigError::TooLarge { .. })));
}
