//! Tables and a mail service whose calls take time, at the same time where they are made at the same time.

use super::*;
use crate::table::{Continuation, ETag, Keys, Operation, Page, Query};
use futures::task::noop_waker;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The calls under way: when each ends, and whom that wakes.
type Timers = Arc<Mutex<VecDeque<(Timestamp, Waker)>>>;

/// A service whose calls take so long.
#[derive(Clone)]
pub(super) struct Slow<S> {
    service: S,
    each: SignedDuration,
    world: World,
    timers: Timers,
}

impl<S> Slow<S> {
    async fn wait(&self) {
        let end = self.world.now() + self.each;
        poll_fn(|context| {
            if self.world.now() >= end {
                return Poll::Ready(());
            }
            self.timers.lock().unwrap().push_back((end, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Table for Slow<MemoryTable> {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.wait().await;
        self.service.insert(entity).await
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        self.wait().await;
        self.service.get(keys).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.wait().await;
        self.service.page(query, from).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        self.wait().await;
        self.service.submit(partition_key, operations).await
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        self.wait().await;
        self.service.delete(keys).await
    }

    async fn create(&self) -> Result<(), TableError> {
        self.wait().await;
        self.service.create().await
    }
}

impl Mailer for Slow<MemoryMailer> {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        self.wait().await;
        self.service.send(message).await
    }
}

impl World {
    /// A run whose calls of a table, and whose sends, take so long. It ends by its deadline.
    pub(super) fn run_slowly(
        &self,
        table: SignedDuration,
        mail: SignedDuration,
        deadline: Timestamp,
    ) -> Option<RunRecord> {
        let timers = Timers::default();
        let slow = |service: &MemoryTable| Slow {
            service: service.clone(),
            each: table,
            world: self.clone(),
            timers: timers.clone(),
        };
        let mailer = Slow { service: self.mailer.clone(), each: mail, world: self.clone(), timers: timers.clone() };
        let notifier = self.notifier_on(slow(&self.leads), slow(&self.state), mailer);
        let id = self.run_id();
        let mut run = pin!(notifier.run(&id, deadline));
        let waker = noop_waker();
        let record = loop {
            if let Poll::Ready(record) = run.as_mut().poll(&mut Context::from_waker(&waker)) {
                break record;
            }
            let next = timers.lock().unwrap().iter().map(|(end, _)| *end).min().expect("a run waits for nothing");
            self.advance(next.duration_since(self.now()));
            timers.lock().unwrap().retain(|(end, waker)| {
                if *end <= next {
                    waker.wake_by_ref();
                }
                *end > next
            });
        };
        let late = self.now().duration_since(deadline);
        assert!(late <= SignedDuration::ZERO, "a run ended {late:#} after its deadline");
        record.ok()
    }
}
