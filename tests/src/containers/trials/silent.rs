//! A socket behind which nobody speaks must hold up nothing.

use std::{
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use zastava_common::event::v1::event::Kind as EventKind;

use super::{PATIENCE, Setting, came, execs, whole};
use crate::{
    containers::{told::End, wish},
    elf::Deed,
    stage::Stop,
};

/// What the sensor may take longer to be ready, a busy machine included.
const START: Duration = Duration::from_secs(20);

pub(super) fn silent(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let socket = setting.directory.join("silent.sock");
    let listener = UnixListener::bind(&socket)?;
    thread::spawn(move || {
        let held: Vec<_> = listener.incoming().take(64).collect();
        // Held until the last of them has come, which is never.
        drop(held);
    });
    let mut wish = wish(setting.choice, &runtime);
    wish.runtime = vec![format!("sockets: [{:?}, {:?}]", socket, runtime.socket())];
    let begun = Instant::now();
    let mut sensor = setting.sensor_as(&wish)?;
    ready_soon(begun)?;
    let own = setting.own("program", Deed::Exit(0))?;
    let ran = runtime.run(&setting.wish(&own, &["/bin/tester", "live", "0", "4", &own.there]))?;
    runtime.wait(&ran)?;
    sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &ran))?;
    let inbox = sensor.stop()?;
    let told = setting.told(&ran);
    whole(inbox.events(), &told, &ran, End::Code(4))?;
    execs(inbox.events(), &own.there, &told)?;
    Ok(())
}

fn ready_soon(begun: Instant) -> Result<()> {
    ensure!(begun.elapsed() < START, "was ready only after {:?}", begun.elapsed());
    Ok(())
}
