use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{super::memory::Memory, description, image};
use crate::{
    container::{
        description::{Description, Rootfs, State},
        runtime::Stop,
    },
    observation::Known,
};

#[test]
fn the_image_that_was_found_first_stands_while_the_container_is_the_same() {
    let mut memory = Memory::new();
    let with = |requested, digest, config| {
        let mut description = description("a");
        description.image = Some(image(requested, digest, config));
        description
    };
    let mut digest = |description| {
        let image = memory.learn(description).description.image.clone();
        image.and_then(|image| image.digest.value().map(ToString::to_string))
    };
    assert_eq!(digest(with("app:1", None, "c")), None);
    assert_eq!(digest(with("app:1", Some("1"), "c")).as_deref(), Some("1"));
    // The tag moved to another manifest of the same config, or the image was deleted.
    assert_eq!(digest(with("app:1", Some("2"), "c")).as_deref(), Some("1"));
    assert_eq!(digest(with("app:1", None, "c")).as_deref(), Some("1"));
    assert_eq!(digest(with("other:1", Some("2"), "c")).as_deref(), Some("2"));
    assert_eq!(digest(with("other:1", Some("3"), "d")).as_deref(), Some("3"));
}

#[test]
fn where_the_root_is_mounted_is_kept() {
    let mut memory = Memory::new();
    let root = |path: Option<&str>| {
        let path = path.map(PathBuf::from);
        let mut description = description("a");
        description.rootfs = Some(Rootfs { path, ..Rootfs::default() });
        description
    };
    memory.learn(root(None));
    memory.started("a", 9, Some("/run/a".into()), None);
    let learned = memory.learn(root(None));
    assert_eq!(learned.description.rootfs.as_ref().unwrap().path, Some("/run/a".into()));
    assert_eq!(memory.get("a").unwrap().image.as_ref().unwrap().digest, Known::Is("1".into()));
}

#[test]
fn an_end_is_told_again_only_when_more_is_known() {
    let mut memory = Memory::new();
    memory.learn(description("a"));
    let stop = || Stop { code: Some(137), signal: Some(9), ..Stop::default() };
    assert_eq!(memory.stopped("a", stop()), Some(stop()));
    assert_eq!(memory.get("a").unwrap().state, State::Exited);
    assert_eq!(memory.stopped("a", stop()), None);
    assert_eq!(memory.stopped("a", Stop::default()), None);
    memory.ran_out_of_memory("a");
    let by_oom = Stop { oom: Some(true), ..stop() };
    assert_eq!(memory.stopped("a", Stop::default()), Some(by_oom));
    // It starts anew.
    memory.started("a", 9, None, None);
    assert_eq!(memory.stopped("a", stop()), Some(stop()));
    // A late word of memory is not of the next life.
    memory.ran_out_of_memory("a");
    memory.started("a", 10, None, None);
    assert_eq!(memory.stopped("a", stop()), Some(stop()));
    // Of one that nobody described all is new.
    assert_eq!(memory.stopped("b", stop()), Some(stop()));
}

#[test]
fn one_that_starts_while_the_list_is_made_is_not_gone() {
    let mut memory = Memory::new();
    memory.learn(description("a"));
    let began = Instant::now();
    assert_eq!(memory.seen_before(began).len(), 1);
    memory.started("a", 9, None, None);
    assert!(memory.seen_before(began).is_empty());
}

#[test]
fn of_too_many_the_one_least_spoken_of_is_forgotten() {
    let mut memory = Memory::new();
    let mut forgotten = 0;
    for number in 0..10_000 {
        forgotten += usize::from(memory.learn(description(&number.to_string())).forgot);
    }
    assert_eq!(forgotten, 10_000 - 8192);
    assert!(memory.get("0").is_none() && memory.get("9999").is_some());
}

#[test]
fn an_end_a_moment_before_its_beginning_is_no_end_of_the_life_before() {
    let mut memory = Memory::new();
    let at = |milliseconds| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds));
    memory.learn(Description { state: State::Running, started: at(5_000), ..description("a") });
    memory.stopped("a", Stop { code: Some(0), at: at(4_999), ..Stop::default() });
    assert_eq!(memory.get("a").map(|of| of.state), Some(State::Exited));
    memory.started("a", 10, None, at(6_000));
    memory.stopped("a", Stop { code: Some(0), at: at(5_500), ..Stop::default() });
    assert_eq!(memory.get("a").map(|of| of.state), Some(State::Running));
}
