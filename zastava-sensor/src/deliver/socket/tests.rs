use std::{io::Read as _, os::unix::net::UnixDatagram};

use super::*;

#[test]
fn socket_and_directory_are_for_their_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run/zastava/sensor.sock");
    let socket = Socket::bind(&path).unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&beside(&path, ".lock")), 0o600);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_second_sensor_is_refused_and_the_first_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    let first = Socket::bind(&path).unwrap();
    let second = Socket::bind(&path).unwrap_err();
    assert!(matches!(second, SocketError::Served(_)));
    assert!(second.to_string().contains("another sensor serves"));
    let mut client = UnixStream::connect(&path).unwrap();
    drop(first.listener.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(first);
    Socket::bind(&path).unwrap();
}

#[test]
fn the_socket_of_a_dead_sensor_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    // Nobody unlinks it: as after SIGKILL.
    drop(UnixListener::bind(&path).unwrap());
    fs::write(beside(&path, ".lock"), "").unwrap();
    drop(UnixListener::bind(beside(&path, ".new")).unwrap());
    let socket = Socket::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    socket.listener.accept().unwrap();
}

#[test]
fn a_socket_of_another_program_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let stream = root.path().join("docker.sock");
    let _serving = UnixListener::bind(&stream).unwrap();
    assert!(matches!(Socket::bind(&stream), Err(SocketError::Foreign(_))));
    let datagram = root.path().join("log.sock");
    let _logging = UnixDatagram::bind(&datagram).unwrap();
    assert!(matches!(Socket::bind(&datagram), Err(SocketError::Foreign(_))));
    UnixStream::connect(&stream).unwrap();
}

#[test]
fn a_file_or_link_at_the_path_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("notes.txt");
    fs::write(&path, "dear diary").unwrap();
    assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(Socket::bind(&link), Err(SocketError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary");
    assert!(matches!(Socket::bind(Path::new("/")), Err(SocketError::NoName(_))));
}

#[test]
fn a_socket_that_replaced_ours_is_not_removed_with_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    let ours = Socket::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}
