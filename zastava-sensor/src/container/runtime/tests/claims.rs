use zastava_common::config;

use super::{
    super::{
        News, Runtimes, Settings,
        cri::fake::{CONTAINER, FakeCri},
    },
    next, until,
};
use crate::container::reason;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_users_claim_does_not_use_up_the_questions_of_the_others() {
    const CLAIMS: usize = 200;
    const OTHERS: usize = 60;
    let root = tempfile::tempdir().unwrap();
    let fake = FakeCri::new();
    let serving = fake.serve(&root.path().join("crio.sock"));
    let runtime = config::Runtime::default();
    let sockets = vec![serving.socket.clone()];
    let settings = Settings { engine: config::Engine::CriO, sockets, ..Settings::from(&runtime) };
    let (runtimes, mut news) = Runtimes::start(settings).unwrap();
    until(&mut news, |news| *news == News::Searched).await;
    fake.create(CONTAINER, "api");
    let asker = runtimes.asker();
    for number in 0..CLAIMS {
        assert!(asker.ask_of_claim(format!("claim-{number}").into()));
    }
    for number in 0..OTHERS {
        assert!(asker.ask(format!("other-{number}").into()));
    }
    assert!(asker.ask(CONTAINER.into()));
    let (mut described, mut refused) = (false, Vec::new());
    while !described || refused.len() < CLAIMS + OTHERS {
        match next(&mut news).await {
            News::Described(of) => described |= &*of.id == CONTAINER,
            News::Refused { id, reason } => refused.push((id, reason)),
            other => panic!("{other:?}"),
        }
    }
    let exhausted = refused.iter().filter(|(_, reason)| *reason == reason::ASKS_EXHAUSTED);
    let (claims, others): (Vec<_>, Vec<_>) = exhausted.partition(|(id, _)| id.starts_with("claim-"));
    assert!(others.is_empty(), "a container of the host's was not asked about: {others:?}");
    // One is answered after 0.4 s; on a machine that is busy some more come to their turn.
    assert!(claims.len() >= CLAIMS / 2, "{}", claims.len());
    tokio::task::spawn_blocking(|| runtimes.stop()).await.unwrap();
    drop(serving);
}
