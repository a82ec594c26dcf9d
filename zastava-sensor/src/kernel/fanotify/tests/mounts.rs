use std::path::Path;

use super::super::mounts::to_watch;

const TABLE: &[u8] = b"\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
24 22 0:25 / /dev/shm rw shared:3 - tmpfs tmpfs rw
25 22 254:0 /var/lib /mnt/a\\040b rw - ext4 /dev/vda rw
26 22 0:30 / /net rw - nfs4 server:/ rw
27 22 254:1 /sub /data rw - xfs /dev/vdb rw
";

#[test]
fn each_file_system_that_holds_programs_is_watched_once() {
    let (mounts, beyond) = to_watch(TABLE, 8);
    let found: Vec<_> = mounts.iter().map(|mount| (mount.fs_type.as_str(), mount.point.as_path())).collect();
    let expected = [("ext4", Path::new("/")), ("tmpfs", Path::new("/dev/shm")), ("xfs", Path::new("/data"))];
    assert_eq!(found, expected);
    assert_eq!(beyond, 0);
}

#[test]
fn file_systems_beyond_the_bound_are_counted() {
    let (mounts, beyond) = to_watch(TABLE, 1);
    assert_eq!((mounts.len(), beyond), (1, 2));
}

#[test]
fn a_mount_that_another_one_hides_is_not_watched_in_its_place() {
    let table = b"\
22 1 254:0 / / rw - ext4 /dev/vda rw
23 22 0:31 / /a rw - tmpfs tmpfs rw
24 22 0:32 / /b rw - tmpfs tmpfs rw
25 23 0:33 / /a rw - overlay overlay rw
26 24 0:5 / /b rw - proc proc rw
";
    let (mounts, _) = to_watch(table, 8);
    let found: Vec<_> = mounts.iter().map(|mount| (mount.device, mount.point.as_path())).collect();
    assert_eq!(found, [((254, 0), Path::new("/")), ((0, 33), Path::new("/a"))]);
}
