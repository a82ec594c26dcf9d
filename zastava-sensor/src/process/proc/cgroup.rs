//! `/proc/<pid>/cgroup` (cgroups(7)).

/// Most bytes read: some 14 hierarchies with a path of up to 4,096 bytes each.
pub const LIMIT: usize = 64 << 10;

/// One line. Its path cannot forge another: the kernel refuses newlines in names of cgroups
/// (kernel/cgroup/cgroup.c, `cgroup_mkdir`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Membership<'a> {
    /// 0 is the v2 hierarchy.
    pub hierarchy: u32,
    /// As seen from the reader's cgroup namespace: begins with `/..` where the cgroup stands outside of it.
    pub path: &'a [u8],
    /// The cgroup is removed and the process is exiting.
    pub removed: bool,
}

/// The lines that can be read; others are passed over.
pub fn memberships(bytes: &[u8]) -> impl Iterator<Item = Membership<'_>> {
    bytes.split(|byte| *byte == b'\n').filter_map(membership)
}

/// The line of the v2 hierarchy.
pub fn unified(bytes: &[u8]) -> Option<Membership<'_>> {
    memberships(bytes).find(|membership| membership.hierarchy == 0)
}

fn membership(line: &[u8]) -> Option<Membership<'_>> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let hierarchy = super::number(fields.next()?)?;
    // The controllers; none in the v2 hierarchy.
    fields.next()?;
    let path = fields.next()?;
    if !path.starts_with(b"/") {
        return None;
    }
    // Said for v2 alone; in a v1 path it belongs to the name.
    match path.strip_suffix(b" (deleted)") {
        Some(path) if hierarchy == 0 => Some(Membership { hierarchy, path, removed: true }),
        _ => Some(Membership { hierarchy, path, removed: false }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_v2_line_is_found_among_v1_lines() {
        let text = b"9:name=systemd:/\n8:pids:/docker/a\n1:cpu,cpuacct:/docker/a\n0::/docker/b\n";
        assert_eq!(unified(text), Some(Membership { hierarchy: 0, path: b"/docker/b", removed: false }));
        let paths: Vec<_> = memberships(text).map(|membership| membership.path).collect();
        assert_eq!(paths, [&b"/"[..], b"/docker/a", b"/docker/a", b"/docker/b"]);
    }

    #[test]
    fn colons_belong_to_the_path() {
        let path = &b"/system.slice/x.service/kubepods.slice:cri-containerd:abc"[..];
        let text = [b"0::", path, b"\n"].concat();
        assert_eq!(unified(&text).unwrap().path, path);
    }

    #[test]
    fn a_removed_cgroup_is_told_by_its_suffix_in_v2_only() {
        let gone = unified(b"0::/docker/a (deleted)\n").unwrap();
        assert_eq!((gone.path, gone.removed), (&b"/docker/a"[..], true));
        let named_so = memberships(b"4:pids:/a (deleted)\n").next().unwrap();
        assert_eq!((named_so.path, named_so.removed), (&b"/a (deleted)"[..], false));
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        assert_eq!(memberships(b"\nx::/a\n0:/a\n0::a\n0\n-1::/a").count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(memberships(&bytes).count() <= bytes.len());
        }
    }
}
