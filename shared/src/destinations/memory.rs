//! Destinations in memory, for tests: where their texts are kept, and who takes what is sent.

use super::{Destinations, Post, PostError, Poster, Reach, Source};
use crate::address::DestinationName;
use crate::aws::SecretError;
use crate::secret::Secret;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Texts of destinations in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemorySource(Arc<Mutex<Texts>>);

#[derive(Default)]
struct Texts {
    texts: HashMap<String, String>,
    is_failing: bool,
    reads: usize,
}

impl MemorySource {
    /// Sets the text of a destination, or takes it away.
    pub fn set(&self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.lock().texts.insert(name.to_owned(), text.to_owned()),
            None => self.lock().texts.remove(name),
        };
    }

    /// Lets all reads fail from now on, or none.
    pub fn set_failing(&self, is_failing: bool) {
        self.lock().is_failing = is_failing;
    }

    /// How often it was read.
    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for MemorySource {
    fn read<'a>(
        &'a self,
        names: &'a [DestinationName],
    ) -> BoxFuture<'a, Result<HashMap<DestinationName, Secret>, SecretError>> {
        Box::pin(async move {
            let mut state = self.lock();
            state.reads += 1;
            if state.is_failing {
                return Err(SecretError::Failed { variables: Vec::new(), code: "ThrottlingException".to_owned() });
            }
            let text = |name: &DestinationName| state.texts.get(name.as_str()).map(Secret::new);
            Ok(names.iter().filter_map(|name| Some((name.clone(), text(name)?))).collect())
        })
    }
}

/// Decides what becomes of a request.
pub type Answer = Box<dyn FnMut(&Post) -> Result<(), PostError> + Send>;

/// Keeps what it accepts. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryPoster(Arc<Mutex<Posts>>);

#[derive(Default)]
struct Posts {
    accepted: Vec<Post>,
    calls: usize,
    answer: Option<Answer>,
}

impl MemoryPoster {
    /// Sets what decides about each request; `None` lets all be accepted.
    pub fn set_answer(&self, answer: Option<Answer>) {
        self.lock().answer = answer;
    }

    /// What was accepted so far, oldest first.
    pub fn accepted(&self) -> Vec<Post> {
        self.lock().accepted.clone()
    }

    /// How often sending was tried.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, Posts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Poster for MemoryPoster {
    fn post<'a>(&'a self, post: &'a Post, _: Duration) -> BoxFuture<'a, Result<(), PostError>> {
        Box::pin(async move {
            let mut state = self.lock();
            state.calls += 1;
            let answer = state.answer.as_mut().map_or(Ok(()), |answer| answer(post));
            if answer.is_ok() {
                state.accepted.push(post.clone());
            }
            answer
        })
    }
}

impl Destinations {
    /// Destinations in memory.
    pub fn in_memory(source: &MemorySource, poster: &MemoryPoster) -> Self {
        Self::new(Arc::new(source.clone()), Arc::new(poster.clone()), Reach::Public)
    }

    /// No destinations but mail.
    pub fn none() -> Self {
        Self::in_memory(&MemorySource::default(), &MemoryPoster::default())
    }
}
