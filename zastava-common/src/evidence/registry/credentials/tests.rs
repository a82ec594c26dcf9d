use super::{BadPullSecret, PullSecrets};
use crate::evidence::ImageReference;

fn secrets(json: &str) -> PullSecrets {
    let mut secrets = PullSecrets::default();
    secrets.add(json.as_bytes()).unwrap();
    secrets
}

fn username<'a>(secrets: &'a PullSecrets, image: &str) -> Option<&'a str> {
    let image: ImageReference = image.parse().unwrap();
    secrets.find(&image).map(|credentials| credentials.username.as_str())
}

#[test]
fn the_longest_path_that_covers_the_image_gives_the_credentials() {
    let secrets = secrets(
        r#"{"auths":{"reg.test":{"username":"all","password":"p"},
            "https://reg.test/team/":{"username":"team","password":"p"},
            "reg.test/team/app":{"auth":"YXBwOnA6cQ=="}}}"#,
    );
    assert_eq!(username(&secrets, "reg.test/team/app:1"), Some("app"));
    assert_eq!(username(&secrets, "reg.test/team/other"), Some("team"));
    assert_eq!(username(&secrets, "reg.test/team-b/app"), Some("all"), "a segment is whole");
    assert_eq!(username(&secrets, "reg.test:5000/team/app"), None);
    assert_eq!(username(&secrets, "evil-reg.test/team/app"), None);
    let image = "reg.test/team/app".parse().unwrap();
    assert_eq!(secrets.find(&image).unwrap().password, "p:q");
}

#[test]
fn a_star_stands_for_one_label() {
    let secrets = secrets(r#"{"auths":{"*.reg.test":{"username":"u","password":"p"}}}"#);
    assert_eq!(username(&secrets, "a.reg.test/app"), Some("u"));
    for other in ["reg.test/app", "a.b.reg.test/app", "a.reg.test.evil.test/app", "a.regxtest.test/app"] {
        assert_eq!(username(&secrets, other), None, "{other}");
    }
}

#[test]
fn the_way_docker_writes_its_own_registry_is_known() {
    let index = format!("https://index.{}/v1/", crate::evidence::reference::Host::docker_hub());
    let secrets = secrets(&format!(r#"{{"auths":{{"{index}":{{"username":"u","password":"p"}}}}}}"#));
    assert_eq!(username(&secrets, "nginx"), Some("u"));
    assert_eq!(username(&secrets, "reg.test/nginx"), None);
}

#[test]
fn entries_that_cannot_be_used_are_passed_over() {
    let secrets =
        secrets(r#"{"auths":{"reg.test":{"auth":"%"},"b.test":{},"c.test":{"auth":"bm8gY29sb24="}}}"#);
    assert!(secrets.is_empty());
}

#[test]
fn what_is_no_secret_is_told_without_repeating_it() {
    let mut secrets = PullSecrets::default();
    assert_eq!(secrets.add(b"hunter2"), Err(BadPullSecret::Json));
    assert_eq!(secrets.add(&vec![b' '; 2 << 20]), Err(BadPullSecret::TooLarge));
    let many: Vec<String> =
        (0..300).map(|n| format!(r#""h{n}.test":{{"username":"u","password":"p"}}"#)).collect();
    assert_eq!(
        secrets.add(format!(r#"{{"auths":{{{}}}}}"#, many.join(",")).as_bytes()),
        Err(BadPullSecret::TooMany)
    );
    let shown = format!("{secrets:?}");
    assert!(!shown.contains('p') || !shown.contains("\"p\""), "{shown}");
}
