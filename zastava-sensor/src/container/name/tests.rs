use proptest::prelude::*;

use super::*;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const UID: &str = "2c1f6b0e-93f4-4a5e-8b1c-1f0e9d8c7b6a";
const UID_: &str = "2c1f6b0e_93f4_4a5e_8b1c_1f0e9d8c7b6a";
const STATIC_UID: &str = "4f3b2a1c0d9e8f7a6b5c4d3e2f1a0b9c";

/// Replaces `{A}`, `{B}`, `{U}`, `{u}` and `{S}`.
fn fill(form: &str) -> String {
    [("{A}", A), ("{B}", B), ("{U}", UID), ("{u}", UID_), ("{S}", STATIC_UID)]
        .iter()
        .fold(form.to_owned(), |text, (key, value)| text.replace(key, value))
}

fn of(form: &str) -> Where {
    place(fill(form).as_bytes())
}

fn container(form: &str) -> Arc<ContainerId> {
    match of(form) {
        Where::Container(container) => container,
        other => panic!("{form}: {other:?}"),
    }
}

#[test]
fn every_runtimes_form_names_its_container() {
    let docker = Some("docker");
    let containerd = Some("containerd");
    let crio = Some("cri-o");
    let podman = Some("podman");
    let pod = Some(UID);
    for (form, runtime, uid) in [
        // Docker: cgroupfs driver, systemd driver, rootless, below a service, below a parent of its own.
        ("/docker/{A}", docker, None),
        ("/system.slice/docker-{A}.scope", docker, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope", docker, None),
        ("/system.slice/docker.service/docker/{A}", docker, None),
        ("/build.slice/docker-{A}.scope", docker, None),
        ("/ecs/cluster/0123456789abcdef0123456789abcdef/{A}", None, None),
        // containerd without a kubelet.
        ("/k8s.io/{A}", containerd, None),
        ("/default/{A}", None, None),
        ("/system.slice/nerdctl-{A}.scope", containerd, None),
        // Kubernetes, cgroupfs driver.
        ("/kubepods/burstable/pod{U}/{A}", None, pod),
        ("/kubepods/besteffort/pod{U}/{A}", None, pod),
        ("/kubepods/pod{U}/{A}", None, pod),
        ("/kubepods/burstable/pod{S}/{A}", None, Some(STATIC_UID)),
        ("/kubepods/burstable/pod{U}/crio-{A}", crio, pod),
        ("/kubelet/kubepods/pod{U}/{A}", None, pod),
        // Kubernetes, systemd driver.
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{u}.slice/cri-containerd-{A}.scope",
            containerd,
            pod,
        ),
        ("/kubepods.slice/kubepods-pod{u}.slice/cri-containerd-{A}.scope", containerd, pod),
        ("/kubepods.slice/kubepods-pod{u}.slice/docker-{A}.scope", docker, pod),
        ("/kubepods.slice/kubepods-pod{u}.slice/crio-{A}.scope", crio, pod),
        ("/kubepods.slice/kubepods-pod{u}.slice/crio-{A}.scope/container", crio, pod),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-pod{u}.slice/cri-containerd-{A}.scope",
            containerd,
            pod,
        ),
        // A kubelet with systemd's driver over a containerd with cgroupfs.
        (
            "/system.slice/containerd.service/kubepods-burstable-pod{u}.slice:cri-containerd:{A}",
            containerd,
            pod,
        ),
        // podman: systemd, cgroupfs, pods, rootless, Quadlet.
        ("/machine.slice/libpod-{A}.scope", podman, None),
        ("/machine.slice/libpod-{A}.scope/container", podman, None),
        ("/libpod_parent/libpod-{A}", podman, None),
        ("/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container", podman, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container", podman, None),
        ("/system.slice/web.service/libpod-payload-{A}", podman, None),
    ] {
        let found = container(form);
        assert_eq!((&*found.id, found.runtime, found.pod_uid.as_deref()), (A, runtime, uid), "{form}");
        assert_eq!(found.nested_claim, None, "{form}");
        assert!(
            fill(form).starts_with(&found.cgroup) && found.cgroup.contains(A),
            "{form}: {}",
            found.cgroup
        );
    }
}

#[test]
fn cgroups_inside_a_container_belong_to_it() {
    for below in ["/init.scope", "/system.slice/foo.service", "/container", "/a/b/c"] {
        let found = container(&format!("/system.slice/docker-{{A}}.scope{below}"));
        assert_eq!((&*found.id, &found.nested_claim), (A, &None));
        assert_eq!(found.cgroup, fill("/system.slice/docker-{A}.scope"));
    }
}

#[test]
fn the_outermost_container_counts_and_the_innermost_name_is_a_claim() {
    for form in [
        // kind, Docker in Docker.
        "/docker/{A}/kubelet/kubepods/burstable/pod{U}/{B}",
        "/system.slice/docker-{A}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{u}.slice/cri-containerd-{B}.scope",
        "/docker/{A}/docker/{B}",
        // A made-up one.
        "/kubepods/pod{U}/{A}/system.slice/docker-{B}.scope",
        // Three deep.
        "/docker/{A}/docker/{A}/docker/{B}",
    ] {
        let found = container(form);
        assert_eq!((&*found.id, found.nested_claim.as_deref()), (A, Some(B)), "{form}");
    }
    // The pod of a nested claim is not the pod of the container.
    assert_eq!(container("/docker/{A}/kubelet/kubepods/burstable/pod{U}/{B}").pod_uid, None);
}

#[test]
fn a_container_cannot_hide_behind_names_inside_it() {
    for form in [
        "/docker/{A}/libpod-conmon-{B}.scope",
        "/docker/{A}/user.slice",
        "/docker/{A}/lxc/x",
        "/docker/{A}/init.scope",
        "/docker/{A}/docker-0123456789abcdef.scope",
    ] {
        assert_eq!(container(form).id, A, "{form}");
    }
}

#[test]
fn host_cgroups_and_monitors_are_the_hosts() {
    for form in [
        "/",
        "",
        "/init.scope",
        "/system.slice",
        "/system.slice/sshd.service",
        "/system.slice/docker.service",
        "/system.slice/docker-cafe.scope",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service/{A}",
        "/runtime.slice/containerd.service",
        "/machine.slice/libpod-conmon-{A}.scope",
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt",
        "/kubepods.slice/kubepods-pod{u}.slice/crio-conmon-{A}.scope",
    ] {
        assert_eq!(of(form), Where::Host, "{form}");
    }
}

#[test]
fn near_misses_are_unknown_and_never_the_host_or_another_container() {
    for (form, reason) in [
        (format!("/docker/{}", &A[1..]), reason::ID_MALFORMED),
        (format!("/docker/{A}0"), reason::ID_MALFORMED),
        (format!("/docker/{}", A.to_uppercase()), reason::ID_MALFORMED),
        (format!("/system.slice/docker-{}.scope", &A[1..]), reason::ID_MALFORMED),
        (format!("/system.slice/docker-{}.scope", A.to_uppercase()), reason::ID_MALFORMED),
        (format!("/machine.slice/libpod-{}.scope/container", &A[..12]), reason::ID_MALFORMED),
        // Something nearly a container may hold names made up inside.
        (format!("/docker/{}/docker/{B}", &A[1..]), reason::ID_MALFORMED),
        (format!("/lxc/101/docker/{B}"), reason::OTHER_KIND),
        ("/lxc.payload.web/system.slice".to_owned(), reason::OTHER_KIND),
        ("/machine.slice/machine-debian.scope/payload".to_owned(), reason::OTHER_KIND),
        ("/machine.slice/systemd-nspawn@debian.service/payload".to_owned(), reason::OTHER_KIND),
        ("/docker/buildkit/vqs5ls8xl3e5bqg0ndd0r1m2v".to_owned(), reason::OTHER_KIND),
        (fill("/kubepods/burstable/pod{U}"), reason::POD_LEVEL),
        (fill("/kubepods.slice/kubepods-pod{u}.slice"), reason::POD_LEVEL),
        ("/default/redis1".to_owned(), reason::FORM_UNKNOWN),
        ("/actions_job/0123456789abcdef0123456789abcdef".to_owned(), reason::FORM_UNKNOWN),
        (format!("/../../docker/{A}"), reason::OUTSIDE_NAMESPACE),
        (format!("/x-{A}"), reason::FORM_UNKNOWN),
    ] {
        assert_eq!(place(form.as_bytes()), Where::Unknown(reason), "{form}");
    }
}

#[test]
fn a_pods_uid_counts_only_below_kubepods() {
    assert_eq!(container("/pod{U}/{A}").pod_uid, None);
    assert_eq!(container("/kubepods/tripod{U}/{A}").pod_uid, None);
    assert_eq!(container("/kubepods/podshort/{A}").pod_uid, None);
}

#[test]
fn a_path_that_is_not_utf8_still_names_its_container() {
    let path = [b"/\xff\xfe.slice/docker-", A.as_bytes(), b".scope/\xff"].concat();
    let Where::Container(found) = place(&path) else { panic!("not a container") };
    assert_eq!(found.id, A);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(path in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = place(&path);
    }

    #[test]
    fn whatever_a_container_makes_below_itself_its_identity_stays(
        parts in proptest::collection::vec(
            prop_oneof![
                "[a-z0-9._:-]{0,20}",
                Just(format!("docker-{B}.scope")),
                Just(B.to_owned()),
                Just("..".to_owned()),
                Just("kubepods".to_owned()),
                Just("user.slice".to_owned()),
            ],
            0..6,
        ),
    ) {
        for own in ["/docker/{A}", "/system.slice/docker-{A}.scope", "/kubepods/burstable/pod{U}/{A}"] {
            let own = container(own);
            let Where::Container(found) = place(format!("{}/{}", own.cgroup, parts.join("/")).as_bytes()) else {
                return Err(TestCaseError::fail("not a container"));
            };
            prop_assert_eq!(&found.id, &own.id);
            prop_assert_eq!(&found.cgroup, &own.cgroup);
            prop_assert_eq!(&found.pod_uid, &own.pod_uid);
        }
    }

    #[test]
    fn an_identity_is_always_64_lower_case_hex_digits(path in "(/(docker|kubepods|[0-9a-fA-F]{62,66}|libpod-[0-9a-f]{63,65}(.scope)?)){1,5}") {
        if let Where::Container(found) = place(path.as_bytes()) {
            prop_assert_eq!(found.id.len(), 64);
            prop_assert!(found.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        }
    }
}
