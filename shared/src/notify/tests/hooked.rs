//! A table of which something happens before each call.

use super::*;
use crate::table::{Continuation, ETag, Operation, Page, Query};
use futures::future::BoxFuture;

/// A call that comes.
pub(super) enum Call {
    /// A row is read.
    Get(Keys),
    /// A page is read: the first one, or a following one.
    Page(Query, bool),
    /// Something is changed.
    Change,
}

impl Call {
    /// The partition that is read; an empty text where none is named.
    pub(super) fn partition(&self) -> &str {
        match self {
            Self::Get(keys) => &keys.partition,
            Self::Page(query, _) => query.partition_key.as_deref().unwrap_or_default(),
            Self::Change => "",
        }
    }
}

/// What happens before a call; an error is its answer.
pub(super) type Before = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<(), TableError>> + Send + Sync>;

/// Such a table.
#[derive(Clone)]
pub(super) struct Hooked {
    pub(super) service: MemoryTable,
    pub(super) before: Before,
}

impl Table for Hooked {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        (self.before)(Call::Change).await?;
        self.service.insert(entity).await
    }

    async fn get(&self, keys: &Keys) -> Result<Entity, TableError> {
        (self.before)(Call::Get(keys.clone())).await?;
        self.service.get(keys).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        (self.before)(Call::Page(query.clone(), from.is_some())).await?;
        self.service.page(query, from).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        (self.before)(Call::Change).await?;
        self.service.submit(partition_key, operations).await
    }

    async fn delete(&self, keys: &Keys) -> Result<(), TableError> {
        (self.before)(Call::Change).await?;
        self.service.delete(keys).await
    }

    async fn create(&self) -> Result<(), TableError> {
        (self.before)(Call::Change).await?;
        self.service.create().await
    }
}
