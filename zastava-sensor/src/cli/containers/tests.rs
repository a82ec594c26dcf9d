use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zastava_common::event::v1::Process;

use super::*;
use crate::{
    container::{Listed, Origins as Counted, State as Lives},
    deliver::{Hub, Socket, serve},
    observation::{self, Container, ContainerId, Known},
};

const NOW: u64 = 1_764_417_600;

fn status(container: &str) -> ContainerStatus {
    let mut status = ContainerStatus {
        workload: Some(Workload {
            container: container.to_owned(),
            container_id: format!("docker://{}", "ab".repeat(32)),
            image_ref: format!("lab.local/web:1@sha256:{}", "cd".repeat(32)),
            image_digest: format!("sha256:{}", "cd".repeat(32)),
            ..Workload::default()
        }),
        process: Some(Process {
            pid: 100,
            entrypoint: vec!["/entrypoint.sh".to_owned(), "--serve".to_owned()],
            ..Process::default()
        }),
        since: Some(prost_types::Timestamp { seconds: NOW.cast_signed() - 90, nanos: 0 }),
        executions: Some(Origins { overlay_lower: 4, overlay_upper: 1, ..Origins::default() }),
        libraries: Some(Origins { overlay_lower: 9, memory: 2, plain: 1, ..Origins::default() }),
        ..ContainerStatus::default()
    };
    status.set_state(State::Running);
    status
}

fn shown(statuses: &[ContainerStatus]) -> String {
    let table = table(statuses, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).to_string();
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_table_has_a_line_for_each_container() {
    let mut in_pod = status("web");
    let workload = in_pod.workload.as_mut().unwrap();
    (workload.namespace, workload.pod) = ("shop".to_owned(), "web-7c9f".to_owned());
    in_pod.set_observed(Observed::Existing);
    let unnamed = ContainerStatus {
        workload: Some(Workload {
            container_id: "cafe".repeat(16),
            names_reason: "no container runtime answers".to_owned(),
            ..Workload::default()
        }),
        process: Some(Process { exe: "/bin/sleep".to_owned(), ..Process::default() }),
        lost: 3,
        since: None,
        ..ContainerStatus::default()
    };
    insta::assert_snapshot!(shown(&[status("db"), in_pod, unnamed]), @"
    CONTAINER                         ID            IMAGE            DIGEST        ENTRYPOINT              EXECS  LIBS  NOT OF IMAGE               LOST  STATE
    db                                abababababab  lab.local/web:1  cdcdcdcdcdcd  /entrypoint.sh --serve  5      12    1 upper, 2 memfd, 1 mount  0     running 1m
    shop/web-7c9f/web                 abababababab  lab.local/web:1  cdcdcdcdcdcd  /entrypoint.sh --serve  5      12    1 upper, 2 memfd, 1 mount  0     running 1m, ran before
    ? (no container runtime answers)  cafecafecafe  ?                              /bin/sleep              0      0     -                          3     running
    ");
}

#[test]
fn hostile_names_stay_on_their_line() {
    let mut hostile = status("\x1b[2J\nweb");
    hostile.workload.as_mut().unwrap().image_ref = "\x1b]0;x\x07\r\n".to_owned();
    hostile.process.as_mut().unwrap().entrypoint = vec!["a\nb\u{202e}".to_owned()];
    let shown = shown(&[hostile]);
    assert!(!shown.chars().any(|char| (char.is_control() && char != '\n') || char == '\u{202e}'), "{shown}");
    assert_eq!(shown.lines().count(), 2, "{shown}");
}

fn listed_as(id: &str) -> Listed {
    Listed {
        container: Container {
            id: Arc::new(ContainerId {
                id: id.to_owned(),
                runtime: Some("docker"),
                pod_uid: None,
                cgroup: "/docker/x".to_owned(),
                by_user: false,
                nested_claim: None,
            }),
            names: Known::Not("container runtime not asked"),
        },
        process: None,
        state: Lives::Running,
        observed: observation::Observed::Live,
        since_boot_ns: 0,
        executions: Counted { overlay_lower: 1, ..Counted::default() },
        libraries: Counted::default(),
        lost: 0,
    }
}

#[tokio::test]
async fn the_sensor_is_asked_and_who_is_not_meant_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sensor.sock");
    let (asking, mut questions) = mpsc::channel::<crate::container::Question>(4);
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(serve(Socket::bind(&path).unwrap(), Arc::new(Hub::new(1, 1)), asking, stop.clone()));
    let stage = tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            question
                .send(vec![
                    listed_as(&format!("{:064x}", 1)),
                    listed_as(&("abcd".to_owned() + &"0".repeat(60))),
                ])
                .unwrap();
        }
    });
    let ask = async |container: &[&str], output| {
        let container = container.iter().map(ToString::to_string).collect();
        let arguments = ContainersArgs { socket: path.clone(), container, output };
        let mut out = Vec::new();
        list(arguments, &mut out).await.map(|()| String::from_utf8(out).unwrap())
    };
    let json = ask(&[], Form::Json).await.unwrap();
    let values: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.len(), 2);
    assert_eq!(
        values[0],
        serde_json::json!({
            "runtime": {"engine": "docker"},
            "workload": {
                "platform": "docker",
                "containerId": format!("docker://{:064x}", 1),
                "cgroup": "/docker/x",
                "namesReason": "container runtime not asked",
            },
            "state": "running",
            "observed": "live",
            "executions": {"overlayLower": 1},
            "libraries": {},
        })
    );
    assert_eq!(ask(&["abcd0"], Form::Table).await.unwrap().lines().count(), 2);
    let refused = ask(&[""], Form::Json).await.unwrap_err();
    assert_eq!(refused.code(), exit::USAGE);
    stop.cancel();
    serving.await.unwrap().unwrap();
    stage.await.unwrap();
    assert_eq!(ask(&[], Form::Json).await.unwrap_err().code(), exit::SENSOR);
}
