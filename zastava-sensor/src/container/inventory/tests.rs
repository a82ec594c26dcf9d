use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;
use zastava_common::abi::Tier;

use super::*;
use crate::container::{
    flat::stays_flat,
    runtime::{Engine, tests::description},
};
use crate::kernel::record::ProcessKey;
use crate::process::proc::stat::TICK_NS;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

fn id(number: u64) -> String {
    format!("{number:064x}")
}

fn docker(number: u64) -> Vec<u8> {
    format!("/docker/{}", id(number)).into_bytes()
}

fn cgroup(id: u64, path: impl Into<Vec<u8>>) -> Cgroup {
    Cgroup { id, hierarchy: 0, path: path.into() }
}

fn origin(cgroup_id: Option<u64>, tgid: u32, boot_ns: u64) -> Origin {
    Origin {
        tier: Tier::Trampoline,
        boot_ns,
        process: ProcessKey { tgid, start_boot_ns: 5 * TICK_NS + 17 },
        tid: tgid,
        cgroup_id,
        mnt_ns: None,
        sequence: None,
    }
}

fn name_of(place: &Where) -> &str {
    match place {
        Where::Container(container) => &container.id,
        other => panic!("{other:?}"),
    }
}

/// A procfs and a cgroup file system made of plain files.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        fs::create_dir(root.path().join("cgroup")).unwrap();
        Self { root }
    }

    fn process(&self, tgid: u32, ticks: u64, cgroups: &str) {
        let directory = self.root.path().join("proc").join(tgid.to_string());
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("cgroup"), cgroups).unwrap();
        let stat = format!("{tgid} (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0");
        fs::write(directory.join("stat"), stat).unwrap();
    }

    /// The id of the cgroup.
    fn cgroup(&self, path: &[u8]) -> u64 {
        let path = Path::new(str::from_utf8(&path[1..]).unwrap());
        let directory = self.root.path().join("cgroup").join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::metadata(directory).unwrap().ino()
    }

    fn inventory(&self, capacity: usize) -> CgroupInventory {
        let unified = Cgroupfs::at(self.root.path().join("cgroup"));
        CgroupInventory::new(ProcRoot::new(self.root.path().join("proc")), Some(unified), capacity, MINUTE)
    }

    fn inventory_without_v2(&self) -> CgroupInventory {
        CgroupInventory::new(ProcRoot::new(self.root.path().join("proc")), None, 100, MINUTE)
    }
}

#[test]
fn a_container_is_known_from_its_mkdir_record_on() {
    let mut inventory = Machine::new().inventory(100);
    inventory.made(&cgroup(40, docker(4)), 0);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 1))), id(4));
    assert_eq!(inventory.counts(), Counts::default());
}

#[test]
fn the_root_cgroup_is_the_hosts() {
    let mut inventory = Machine::new().inventory(100);
    assert_eq!(inventory.place(&origin(Some(ROOT_ID), 9, 1)), Where::Host);
}

#[test]
fn a_removed_cgroup_keeps_its_name_for_a_minute() {
    let mut inventory = Machine::new().inventory(100);
    inventory.made(&cgroup(40, docker(4)), 0);
    inventory.removed(&cgroup(40, docker(4)), SECOND);
    inventory.made(&cgroup(41, docker(5)), 60 * SECOND);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 60 * SECOND))), id(4));
    inventory.made(&cgroup(42, docker(6)), 61 * SECOND);
    assert_eq!(inventory.place(&origin(Some(40), 9, 61 * SECOND)), Where::Unknown(reason::CGROUP_GONE));
}

#[test]
fn mkdir_and_rmdir_may_come_in_the_wrong_order() {
    let mut inventory = Machine::new().inventory(100);
    inventory.removed(&cgroup(40, docker(4)), 2);
    inventory.made(&cgroup(40, docker(4)), 1);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 3))), id(4));
    inventory.made(&cgroup(41, docker(5)), 100 * SECOND);
    assert_eq!(inventory.len(), 1, "the removed one is forgotten after its minute");
}

#[test]
fn a_record_before_its_cgroups_mkdir_does_not_spoil_the_name() {
    let mut inventory = Machine::new().inventory(100);
    assert_eq!(inventory.place(&origin(Some(40), 9, 2)), Where::Unknown(reason::CGROUP_GONE));
    inventory.made(&cgroup(40, docker(4)), 1);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 3))), id(4));
    inventory.made(&cgroup(41, docker(5)), 100 * SECOND);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 100 * SECOND))), id(4));
}

#[test]
fn cgroups_that_exist_at_start_are_walked() {
    let machine = Machine::new();
    let (a, b) = (machine.cgroup(&docker(1)), machine.cgroup(b"/system.slice/sshd.service"));
    // Asked where containers of this very machine stand in v1 hierarchies alone.
    machine.process(9, 5, "0::/system.slice/sshd.service\n");
    let mut inventory = machine.inventory(100);
    inventory.scan();
    assert_eq!(name_of(&inventory.place(&origin(Some(a), 9, 1))), id(1));
    assert_eq!(inventory.place(&origin(Some(b), 9, 1)), Where::Host);
    assert_eq!(inventory.counts().misses, 0);
}

#[test]
fn a_missed_cgroup_is_found_by_its_process_and_then_known() {
    let machine = Machine::new();
    let a = machine.cgroup(&docker(1));
    machine.process(9, 5, &format!("0::/docker/{}\n", id(1)));
    let mut inventory = machine.inventory(100);
    for _ in 0..3 {
        assert_eq!(name_of(&inventory.place(&origin(Some(a), 9, 1))), id(1));
    }
    assert_eq!(inventory.counts(), Counts { misses: 1, found_by_process: 1, ..Counts::default() });
}

#[test]
fn a_process_that_moved_on_does_not_lend_its_new_name_to_the_old_cgroup() {
    let machine = Machine::new();
    let (old, _new) = (machine.cgroup(&docker(1)), machine.cgroup(&docker(2)));
    machine.process(9, 5, &format!("0::/docker/{}\n", id(2)));
    let mut inventory = machine.inventory(100);
    assert_eq!(name_of(&inventory.place(&origin(Some(old), 9, 1))), id(1));
    assert_eq!(inventory.counts().found_by_walk, 1);
}

#[test]
fn a_cgroup_that_is_gone_costs_one_search() {
    let machine = Machine::new();
    let mut inventory = machine.inventory(100);
    for at in 0..1000 {
        assert_eq!(inventory.place(&origin(Some(77), 9, at)), Where::Unknown(reason::CGROUP_GONE));
    }
    assert_eq!(inventory.counts().misses, 1);
}

#[test]
fn searches_are_limited_in_each_second_and_the_rest_says_why() {
    let mut inventory = Machine::new().inventory(100_000);
    let places: Vec<_> =
        (0..5000).map(|at| inventory.place(&origin(Some(1000 + at), 9, SECOND + at))).collect();
    assert_eq!(places[0], Where::Unknown(reason::CGROUP_GONE));
    assert!(places[1..].iter().all(|place| *place == Where::Unknown(reason::LOOKUPS_EXHAUSTED)));
    assert_eq!((inventory.counts().misses, inventory.counts().refused), (5000, 4999));
}

#[test]
fn a_tier_without_cgroups_asks_the_process() {
    let machine = Machine::new();
    machine.process(9, 5, &format!("0::/docker/{}\n", id(1)));
    let mut inventory = machine.inventory(100);
    assert_eq!(name_of(&inventory.place(&origin(None, 9, 1))), id(1));
    assert_eq!(inventory.place(&origin(None, 10, 1)), Where::Unknown(reason::PROCESS_GONE));
}

#[test]
fn a_pid_that_is_used_again_does_not_lend_its_cgroup() {
    let machine = Machine::new();
    machine.process(9, 600, &format!("0::/docker/{}\n", id(1)));
    let mut inventory = machine.inventory(100);
    assert_eq!(inventory.place(&origin(None, 9, 1)), Where::Unknown(reason::PROCESS_GONE));
}

#[test]
fn a_container_in_v1_hierarchies_alone_is_not_the_host() {
    let machine = Machine::new();
    machine.process(9, 5, &format!("4:pids:/docker/{}\n0::/system.slice/docker.service\n", id(1)));
    machine.process(10, 5, "4:pids:/system.slice/sshd.service\n0::/system.slice/sshd.service\n");
    let mut inventory = machine.inventory(100);
    inventory.made(&cgroup(40, "/system.slice/docker.service"), 0);
    assert_eq!(inventory.place(&origin(Some(40), 9, 1)), Where::Host, "no container in v1 was seen yet");
    inventory.made(&Cgroup { hierarchy: 4, ..cgroup(800, docker(1)) }, 2);
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 3))), id(1));
    assert_eq!(inventory.place(&origin(Some(40), 10, 3)), Where::Host);
    assert_eq!(inventory.place(&origin(Some(40), 11, 3)), Where::Unknown(reason::PROCESS_GONE));
    inventory.removed(&Cgroup { hierarchy: 4, ..cgroup(800, docker(1)) }, 4);
    assert_eq!(inventory.place(&origin(Some(40), 11, 5)), Where::Host);
}

#[test]
fn a_container_in_v1_and_v2_costs_the_host_nothing() {
    let mut inventory = Machine::new().inventory(100);
    inventory.made(&Cgroup { hierarchy: 4, ..cgroup(800, docker(1)) }, 1);
    inventory.made(&cgroup(40, docker(1)), 2);
    assert_eq!(inventory.place(&origin(Some(ROOT_ID), 11, 3)), Where::Host);
    let machine = Machine::new();
    machine.cgroup(&docker(2));
    let mut inventory = machine.inventory(100);
    inventory.made(&Cgroup { hierarchy: 4, ..cgroup(800, docker(2)) }, 1);
    assert_eq!(inventory.place(&origin(Some(ROOT_ID), 11, 3)), Where::Host);
}

#[test]
fn a_machine_without_v2_goes_by_the_processes_own_lines() {
    let machine = Machine::new();
    machine.process(9, 5, &format!("4:pids:/kubepods/x\n3:cpu:/docker/{}\n", id(1)));
    machine.process(10, 5, "4:pids:/\n3:cpu:/\n");
    machine.process(11, 5, "4:pids:/\n3:cpu:/batch\n");
    let mut inventory = machine.inventory_without_v2();
    assert_eq!(name_of(&inventory.place(&origin(Some(ROOT_ID), 9, 1))), id(1));
    assert_eq!(inventory.place(&origin(Some(ROOT_ID), 10, 1)), Where::Host);
    assert_eq!(inventory.place(&origin(Some(ROOT_ID), 11, 1)), Where::Unknown(reason::FORM_UNKNOWN));
    assert_eq!(inventory.place(&origin(Some(77), 12, 1)), Where::Unknown(reason::NO_CGROUP2));
}

#[test]
fn two_hundred_thousand_containers_leave_the_inventory_within_its_capacity() {
    let mut inventory = Machine::new().inventory(1000);
    let alone = stays_flat(200_000, |number| {
        let at = number * SECOND / 100;
        inventory.made(&cgroup(10_000 + number, docker(number)), at);
        assert_eq!(name_of(&inventory.place(&origin(Some(10_000 + number), 9, at))), id(number));
        // One in a hundred never goes.
        if number % 100 != 0 {
            inventory.removed(&cgroup(10_000 + number, docker(number)), at + 1);
        }
        assert!(inventory.len() <= 1000 && inventory.tombstones.len() <= 1000);
    });
    if !alone {
        return;
    }
    let counts = inventory.counts();
    assert!(counts.tombstones_cut > 0 && counts.evicted > 0, "{counts:?}");
}

#[test]
fn removed_cgroups_make_room_before_existing_ones_do() {
    let mut inventory = Machine::new().inventory(10);
    inventory.made(&cgroup(40, docker(4)), 0);
    for number in 0..1000 {
        inventory.made(&cgroup(1000 + number, docker(number)), 1);
        inventory.removed(&cgroup(1000 + number, docker(number)), 1);
    }
    assert_eq!(name_of(&inventory.place(&origin(Some(40), 9, 2))), id(4));
    assert_eq!(inventory.counts().evicted, 0);
}

#[test]
fn a_real_cgroup_of_this_machine_is_walked_with_its_id() {
    let unified = match Cgroupfs::find(&ProcRoot::default()) {
        Ok(unified) => unified,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let parent = format!("/zastava-test-{}", std::process::id());
    let path = format!("{parent}/{}", id(7));
    let directory = unified.root().join(&path[1..]);
    if let Err(error) = fs::create_dir_all(&directory) {
        return eprintln!("skipped: cannot make a cgroup: {error}");
    }
    let known = unified.id(path.as_bytes());
    let mut inventory = CgroupInventory::new(ProcRoot::default(), Some(unified.clone()), 1000, MINUTE);
    inventory.scan();
    fs::remove_dir(&directory).unwrap();
    fs::remove_dir(unified.root().join(&parent[1..])).unwrap();
    assert_eq!(name_of(&inventory.place(&origin(Some(known.unwrap()), 9, 1))), id(7));
}

/// A container that its runtime calls so, and whose cgroup is there.
fn described(id: &str, path: &str) -> Description {
    Description { cgroup: Some(path.to_owned()), ..description(id) }
}

#[test]
fn a_cgroup_of_any_name_is_the_containers_that_its_runtime_says() {
    let machine = Machine::new();
    let mut inventory = machine.inventory(16);
    inventory.described(&described("redis", "/default/redis"));
    let made = inventory.made(&cgroup(9, "/default/redis"), SECOND).unwrap();
    assert_eq!((made.id.as_str(), made.runtime), ("redis", Some("containerd")));
    // What its processes make below is its own, whatever they call it.
    let below = format!("/default/redis/docker/{}", id(3));
    assert!(inventory.made(&cgroup(10, below), SECOND).is_none());
    for cgroup_id in [9, 10] {
        assert_eq!(name_of(&inventory.place(&origin(Some(cgroup_id), 1, SECOND))), "redis");
    }
    let Where::Container(below) = inventory.place(&origin(Some(10), 1, SECOND)) else { panic!() };
    assert_eq!(below.nested_claim, Some(id(3)));
    inventory.made(&cgroup(11, "/default/redis2"), SECOND);
    assert_eq!(inventory.place(&origin(Some(11), 1, SECOND)), Where::Unknown(reason::FORM_UNKNOWN));
    inventory.forgotten("redis");
    inventory.made(&cgroup(12, "/default/redis"), SECOND);
    assert_eq!(inventory.place(&origin(Some(12), 1, SECOND)), Where::Unknown(reason::FORM_UNKNOWN));
    assert!(
        inventory.removed(&cgroup(9, "/default/redis"), SECOND).is_some(),
        "that one was the container's"
    );
}

#[test]
fn a_cgroup_that_was_there_before_its_runtime_spoke_is_the_containers_from_then_on() {
    let machine = Machine::new();
    let cgroup_id = machine.cgroup(b"/default/redis");
    let mut inventory = machine.inventory(16);
    inventory.scan();
    let origin = origin(Some(cgroup_id), 1, SECOND);
    assert_eq!(inventory.place(&origin), Where::Unknown(reason::FORM_UNKNOWN));
    inventory.described(&described("redis", "/default/redis"));
    assert_eq!(name_of(&inventory.place(&origin)), "redis");
}

#[test]
fn a_runtime_names_no_cgroup_of_the_host_or_of_another_container() {
    let machine = Machine::new();
    let mut inventory = machine.inventory(16);
    let own = String::from_utf8(docker(1)).unwrap();
    for (number, path) in
        ["/", "/system.slice", "/system.slice/sshd.service", "relative", &own].iter().enumerate()
    {
        inventory.described(&described("redis", path));
        let made = cgroup(number as u64 + 20, *path);
        assert!(inventory.made(&made, SECOND).is_none_or(|container| container.id == id(1)), "{path}");
    }
    let mut of_user = described("redis", "/anything");
    let socket = "/run/user/1000/podman/podman.sock".into();
    of_user.engine = Arc::new(Engine { socket, ..(*of_user.engine).clone() });
    inventory.described(&of_user);
    assert!(inventory.made(&cgroup(30, "/anything"), SECOND).is_none());
}
