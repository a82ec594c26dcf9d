//! Sockets that listen.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;

use crate::{
    expect::Expected,
    fixture::Fixture,
    sensor::find,
    sight::Sight,
    stage::{Stage, Stop},
};

pub(super) fn ipv4(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    listens(stage, "127.0.0.1:0")
}

pub(super) fn ipv6(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    listens(stage, "[::1]:0")
}

fn listens(stage: &Stage, address: &str) -> Result<Vec<Expected>, Stop> {
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    let own = Fixture::copy(Path::new(&tester), stage.at("listener"))?;
    let output = stage.command(&own.path).args(["listen", address]).output()?;
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.code() == Some(77) {
        return Err(Stop::Unable(told));
    }
    let address: SocketAddr = told.parse().with_context(|| format!("the tester said {told:?}"))?;
    let mut expected =
        vec![Expected::exec(stage.tier, &own), Expected::exit(stage.tier, &own.path).with_code(0)];
    if Sight::Details.sees(stage.tier) {
        expected.push(Expected::listen(stage.tier, address));
    }
    Ok(expected)
}
