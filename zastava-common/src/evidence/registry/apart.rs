//! Work on what was read, where nobody waits for it.

use std::{future::pending, panic::resume_unwind, sync::Arc};

use tokio::{sync::Semaphore, task::spawn_blocking};

/// What is to be done with more bytes has a thread of its own: a worker that others wait for does no more at a time.
const QUICK: usize = 128 << 10;

/// What is to be done with more bytes is done one by one.
const LARGE: usize = 1 << 20;

/// What registries answered is read, hashed and checked here. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    large: Arc<Semaphore>,
}

impl Default for Apart {
    fn default() -> Self {
        Self { large: Arc::new(Semaphore::new(1)) }
    }
}

impl Apart {
    /// Reads, hashes or checks a document of so many bytes where nobody waits for it. What is large takes some times as
    /// much memory meanwhile, so that it is done one by one; `work` asks nobody for anything.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes <= QUICK {
            return work();
        }
        // It is never closed.
        let alone = if bytes > LARGE { Arc::clone(&self.large).acquire_owned().await.ok() } else { None };
        // It goes on where nobody waits any more, and keeps its place.
        let working = spawn_blocking(move || {
            let done = work();
            drop(alone);
            done
        });
        match working.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The program ends.
                Err(_) => pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_long_is_done_on_a_thread_of_its_own() {
        let apart = Apart::default();
        let thread = async |bytes| apart.run(bytes, || std::thread::current().id()).await;
        let own = std::thread::current().id();
        assert_eq!(thread(QUICK).await, own);
        assert_ne!(thread(QUICK + 1).await, own);
        let panics = tokio::spawn({
            let apart = apart.clone();
            async move { apart.run(LARGE + 1, || panic!("as if it were here")).await }
        });
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(apart.large.available_permits(), 1);
    }

    #[tokio::test]
    async fn large_documents_are_read_one_by_one_and_small_ones_beside_them() {
        let apart = Apart::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = apart.run(LARGE + 1, move || wait.recv());
        let (first, second, ()) = tokio::join!(first, apart.run(LARGE + 1, || 2), async {
            assert_eq!(apart.run(LARGE, || 1).await, 1);
            assert_eq!(apart.large.available_permits(), 0);
            go.send(()).unwrap();
        });
        assert_eq!((first, second), (Ok(()), 2));
    }
}
