//! Tables and a mail service whose calls take time, at the same time where they are made at the same time.

use super::hooked::{Before, Call, Hooked};
use super::*;
use futures::FutureExt as _;
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
        self.wait_for(self.each).await;
    }

    async fn wait_for(&self, time: SignedDuration) {
        let end = self.world.now() + time;
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

impl Slow<MemoryTable> {
    fn table(&self) -> Hooked {
        let slow = self.clone();
        let before: Before = Arc::new(move |_| {
            let slow = slow.clone();
            async move {
                slow.wait().await;
                Ok(())
            }
            .boxed()
        });
        Hooked { service: self.service.clone(), before }
    }
}

impl Mailer for Slow<MemoryMailer> {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        self.wait().await;
        self.service.send(message).await
    }

    async fn is_suppressed(&self, address: &str) -> Result<bool, MailError> {
        let longest = SignedDuration::try_from(crate::mail::MAX_QUESTION).unwrap();
        let is_answered = self.each < longest;
        self.wait_for(self.each.min(longest)).await;
        if is_answered {
            return self.service.is_suppressed(address).await;
        }
        Err(MailError::Unavailable { code: "timed out".to_owned(), may_be_accepted: false })
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
        let notifier = self.notifier_on(slow(&self.leads).table(), slow(&self.state).table(), mailer);
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

impl World {
    /// A state table in which another run does all its work, so many times, between the first page of what a run reads of the
    /// state, and the second one.
    fn overtaken_between_pages(&self, service: MemoryTable, times: usize) -> Hooked {
        let (world, left) = (self.clone(), Arc::new(AtomicUsize::new(times)));
        let before: Before = Arc::new(move |call| {
            let (world, left) = (world.clone(), left.clone());
            async move {
                let is_second = matches!(call, Call::Page(query, true) if query.row_key_from.as_deref() == Some("c"));
                if is_second && left.load(Ordering::Relaxed) > 0 {
                    left.fetch_sub(1, Ordering::Relaxed);
                    world.run().await;
                }
                Ok(())
            }
            .boxed()
        });
        Hooked { service, before }
    }
}

#[tokio::test]
async fn a_run_that_reads_the_state_in_pages_while_another_one_mails_mails_nothing_again() {
    for times in [1, 2, 100] {
        let world = World::new();
        world.run().await;
        world.arrive(&["Ada"]).await;
        world.mailer.fail_next(1, &SendFault::destination());
        world.advance(HOUR);
        world.run().await;
        assert_eq!((world.owed().await, world.mails_with("Ada")), (1, 0), "the lead waits");
        world.advance(HOUR);
        let leads = world.overtaken_between_pages(world.leads.clone(), 0);
        let state = world.overtaken_between_pages(world.state.clone().with_page_size(1), times);
        // Whatever becomes of this run: the one that overtook it has mailed the lead.
        let _ = world.notifier_on(leads, state, world.mailer.clone()).run("late", world.deadline()).await;
        assert_eq!(world.mails_with("Ada"), 1);
        world.arrive(&["Bob"]).await;
        world.advance(HOUR);
        world.run().await;
        assert_eq!((world.mails_with("Ada"), world.mails_with("Bob"), world.owed().await), (1, 1, 0));
    }
}
