//! A container that lives, in the words of `zastava-sensor containers`.

use zastava_common::event::v1::{ContainerStatus, Origins, Process, container_status};

use super::{BootClock, clock, life, place};
use crate::{
    container::{self, Listed, State},
    observation::Place,
};

pub(in crate::deliver) fn status_of(listed: Listed, times: BootClock) -> ContainerStatus {
    let Listed { container, process, state, observed, since_boot_ns, executions, libraries, lost } = listed;
    let description = container.names.value().cloned();
    let (runtime, mut workload) = place::describe(&Place::Container(container));
    let mut process = process.map(|process| Process {
        pid: process.key.tgid,
        start_time: times.start(process.key),
        comm: process.comm.clone(),
        exe: process.exe.clone(),
        existing: process.existing,
        ..Process::default()
    });
    if let Some(description) = &description {
        place::extend(&mut workload, description);
        let process = process.get_or_insert_default();
        process.entrypoint.clone_from(&description.entrypoint.words);
        process.entrypoint_truncated = description.entrypoint.truncated;
        if process.pid == 0 {
            process.pid = description.pid.unwrap_or(0);
        }
    }
    let mut status = ContainerStatus {
        runtime,
        workload: Some(workload),
        process,
        since: (since_boot_ns != 0).then(|| clock::timestamp(times.unix_ns(since_boot_ns))),
        executions: Some(origins(executions)),
        libraries: Some(origins(libraries)),
        lost,
        ..ContainerStatus::default()
    };
    status.set_state(match state {
        State::Starting => container_status::State::Starting,
        State::Running => container_status::State::Running,
        State::Ended => container_status::State::Ended,
    });
    status.set_observed(life::observed(observed));
    status
}

fn origins(counts: container::Origins) -> Origins {
    let container::Origins { overlay_lower, overlay_upper, tmpfs, memory, plain, unknown } = counts;
    Origins { overlay_lower, overlay_upper, tmpfs, memory, plain, unknown }
}
