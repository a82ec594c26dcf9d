use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Mutex,
};

use tokio_stream::StreamExt as _;
use zastava_common::{abi::Tier, event::id::EventIdSource};

use super::*;
use crate::{
    deliver::{BootClock, Filter, Format, queue::Item},
    health::Exposition,
    kernel::record::{Exit, Listen, Origin, ProcessKey},
    observation::{Loss, Place},
};

fn observed(fact: Fact) -> Observation {
    let process = ProcessKey { tgid: 7, start_boot_ns: 1 };
    let origin = Origin {
        tier: Tier::Trampoline,
        boot_ns: 5,
        process,
        tid: 7,
        cgroup_id: None,
        mnt_ns: None,
        sequence: None,
    };
    Observation { origin, process: None, container: Place::Host, fact }
}

fn exit() -> Observation {
    let exit = Exit { status: Some(0), ppid: 1, comm: b"true".to_vec() };
    observed(Fact::Exit { exit, duration_ns: Some(9) })
}

fn listen() -> Observation {
    let address = SocketAddr::from(([0, 0, 0, 0], 80));
    observed(Fact::Listen(Listen { address, protocol: 6 }))
}

fn loss(count: u64) -> Observation {
    let loss = Loss { cgroup_id: Some(3), kind: "exec", count, first_boot_ns: 1, last_boot_ns: 2 };
    observed(Fact::Loss(loss))
}

#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<String>>>);

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn deliver(output: Option<Output>, kinds: KindSet) -> (Deliver, Arc<Hub>) {
    let hub = Arc::new(Hub::new(8, 2));
    let ids = EventIdSource::new().unwrap();
    let clock = BootClock::read();
    let converter = Converter::new("acme".to_owned(), "node".to_owned(), clock, ids, false);
    (Deliver::new(converter, output, kinds, Arc::clone(&hub), 16), hub)
}

fn json(to: impl Write + Send + 'static) -> Output {
    Output::new(Format::Json, false, Box::new(to), "a test".to_owned())
}

#[tokio::test]
async fn writer_and_watchers_get_the_same_event_and_the_writer_its_kinds_alone() {
    let writes = Writes::default();
    let (mut deliver, hub) = deliver(Some(json(writes.clone())), KindSet::from_iter([Kind::Listen]));
    let mut watching = hub.subscribe(Filter::default()).unwrap();
    deliver.batch(vec![exit(), listen(), listen()]).unwrap();
    let writes = writes.0.lock().unwrap().clone();
    assert_eq!(writes.len(), 1, "one write per batch");
    let mut watched = Vec::new();
    for _ in 0..3 {
        let Some(Item::Value(event)) = watching.next().await else { panic!("an event is missing") };
        watched.push(event);
    }
    let kinds: Vec<_> = watched.iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, [Kind::ProcessExit, Kind::Listen, Kind::Listen]);
    let lines: Vec<_> = writes[0].lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(&watched[1].event_id) && lines[1].contains(&watched[2].event_id));
}

#[test]
fn without_writer_and_watchers_everything_is_counted() {
    let mut summary = None;
    let metrics = Exposition::of(|| {
        let (deliver, _hub) = deliver(None, KindSet::default());
        let (sender, receiver) = mpsc::channel(4);
        for batch in [vec![exit(), loss(4)], vec![exit(), listen(), loss(2)]] {
            sender.blocking_send(batch).unwrap();
        }
        drop(sender);
        summary = Some(deliver.run(receiver).0);
    });
    let summary = summary.unwrap();
    let counts: Vec<_> = summary.counts().collect();
    assert_eq!(
        counts,
        [("exec", 0), ("exit", 2), ("lib", 0), ("file", 0), ("listen", 1), ("start", 0), ("stop", 0)]
    );
    assert_eq!(summary.ledger().total(), 6);
    let metrics = metrics.render();
    for line in [
        "zastava_runtime_events_total{kind=\"PROCESS_EXIT\"} 2",
        "zastava_runtime_events_total{kind=\"PROCESS_EXEC\"} 0",
        "zastava_kernel_lost_total{kind=\"exec\"} 6",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn when_the_reader_is_gone_the_stage_ends_with_its_sums() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let (deliver, _hub) = deliver(Some(json(writer)), KindSet::default());
    let (sender, receiver) = mpsc::channel(4);
    sender.blocking_send(vec![exit()]).unwrap();
    let (summary, ended) = deliver.run(receiver);
    assert!(matches!(ended, Err(OutputError::ReaderGone)));
    assert_eq!(summary.counts().map(|(_, count)| count).sum::<u64>(), 1);
    assert!(sender.is_closed(), "the stage before is told");
}
