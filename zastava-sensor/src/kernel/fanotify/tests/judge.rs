use zastava_common::abi::{FileIdentity, FileOp};

use crate::kernel::sys::handle::Handle;

use super::super::change::{Changes, Seen};

const FILE: FileIdentity = FileIdentity {
    ino: 42,
    dev: 1,
    generation: 7,
    size: 10,
    mtime_ns: 5,
    ctime_ns: 5,
    fs_magic: 0,
    nlink: 1,
    mode: 0o100_644,
    flags: 0,
};

fn judge(changes: &mut Changes, mask: u64, name: &str, file: FileIdentity) -> Vec<FileOp> {
    let handle = Handle::new(1, &[1; 8]);
    changes.judge(mask, &Seen { file: &file, handle, name: name.as_bytes() })
}

#[test]
fn a_new_file_is_created_when_it_is_closed_and_overwritten_after() {
    let mut changes = Changes::new(8);
    assert_eq!(judge(&mut changes, libc::FAN_CREATE, "a", FILE), []);
    assert_eq!(judge(&mut changes, libc::FAN_CLOSE_WRITE, "a", FILE), [FileOp::Create]);
    assert_eq!(judge(&mut changes, libc::FAN_CLOSE_WRITE, "a", FILE), [FileOp::Write]);
    assert_eq!(judge(&mut changes, libc::FAN_CREATE | libc::FAN_CLOSE_WRITE, "a", FILE), [FileOp::Create]);
}

#[test]
fn an_entry_that_appears_after_its_file_was_counted_is_a_link() {
    let mut changes = Changes::new(8);
    let late = FileIdentity { nlink: 2, ..FILE };
    assert_eq!(judge(&mut changes, libc::FAN_CREATE, "a", late), [], "linked since, but not then");
    changes.count_changed(Handle::new(1, &[1; 8]).unwrap());
    assert_eq!(judge(&mut changes, libc::FAN_CREATE, "b", late), [FileOp::Link]);
}

#[test]
fn a_nameless_file_is_told_again_only_if_it_changed_after_its_link() {
    let mut changes = Changes::new(8);
    changes.count_changed(Handle::new(1, &[1; 8]).unwrap());
    assert_eq!(judge(&mut changes, libc::FAN_CREATE, "named", FILE), [FileOp::Link]);
    assert_eq!(judge(&mut changes, libc::FAN_CLOSE_WRITE, "#42", FILE), []);
    let longer = FileIdentity { size: 11, ..FILE };
    assert_eq!(judge(&mut changes, libc::FAN_CLOSE_WRITE, "#42", longer), [FileOp::Write]);
    let unlinked = FileIdentity { nlink: 0, ..FILE };
    assert_eq!(judge(&mut changes, libc::FAN_CLOSE_WRITE, "#42", unlinked), []);
}

#[test]
fn chmod_is_told_when_the_file_becomes_executable() {
    let mut changes = Changes::new(8);
    let mut chmod = |mode: u32| {
        judge(&mut changes, libc::FAN_ATTRIB, "a", FileIdentity { mode: 0o100_000 | mode, ..FILE })
    };
    assert_eq!(chmod(0o644), []);
    assert_eq!(chmod(0o744), [FileOp::Chmod]);
    assert_eq!(chmod(0o755), [], "it already was");
    assert_eq!(chmod(0o600), []);
    assert_eq!(chmod(0o700), [FileOp::Chmod]);
}
