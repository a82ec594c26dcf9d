//! The sensor as a service: what the service manager is told of it.

use std::{
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// No tier works here (`zastava-sensor --help`).
const NO_TIER: i32 = 3;

#[test]
#[expect(
    clippy::zombie_processes,
    reason = "it is waited for; where the test fails, this process ends as well"
)]
fn the_service_manager_hears_of_the_beginning_the_work_and_the_end() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut sensor = Command::new(env!("CARGO_BIN_EXE_zastava-sensor"))
        .args(["run", "--output", "none", "--metrics-address", "127.0.0.1:0", "--socket"])
        .arg(root.path().join("sensor.sock"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "3000000")
        .env_remove("WATCHDOG_PID")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 256];
    let patience = Instant::now() + Duration::from_mins(1);
    let ended = loop {
        if let Ok(length) = socket.recv(&mut buffer) {
            heard.push(str::from_utf8(&buffer[..length]).unwrap().trim().to_owned());
            // What it says of the beginning, and twice of its work.
            if heard.len() == 3 {
                kill_process(Pid::from_child(&sensor), Signal::TERM).unwrap();
            }
        } else if let Some(status) = sensor.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < patience, "{heard:?}");
    };
    if ended.code() == Some(NO_TIER) {
        assert!(std::env::var_os("CI").is_none(), "no tier works");
        return eprintln!("skipped: no tier works on this kernel, or not as this user");
    }
    assert!(ended.success(), "{ended}");
    assert_eq!(heard.first().map(String::as_str), Some("READY=1"), "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("STOPPING=1"), "{heard:?}");
    let fed = &heard[1..heard.len() - 1];
    assert!(fed.len() > 1 && fed.iter().all(|told| told == "WATCHDOG=1"), "{heard:?}");
}
