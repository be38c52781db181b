//! The pages of several queries.

use super::{Continuation, Entity, Page, Query, Table, TableError};
use futures::stream::{self, Stream, StreamExt as _};

/// The pages of several queries, in the order of the queries. The first page of each query is fetched ahead, at most
/// `at_once` of them at the same time. Later pages are fetched one after the other when they are asked for, so that memory
/// holds a few pages, however much there is to read.
pub(crate) fn pages<T: Table>(
    table: &T,
    queries: Vec<Query>,
    at_once: usize,
) -> impl Stream<Item = Result<Vec<Entity>, TableError>> + Send + use<T> {
    let table = table.clone();
    let first = stream::iter(queries).map({
        let table = table.clone();
        move |query| {
            let table = table.clone();
            async move {
                let page = table.page(&query, None).await;
                (query, page)
            }
        }
    });
    first.buffered(at_once).flat_map(move |(query, first)| {
        let table = table.clone();
        stream::unfold(Some((query, Rest::Fetched(first))), move |rest| {
            let table = table.clone();
            async move {
                let (query, rest) = rest?;
                let page = match rest {
                    Rest::Fetched(page) => page,
                    Rest::Ahead(next) => table.page(&query, Some(&next)).await,
                };
                Some(match page {
                    Ok(Page { entities, next }) => (Ok(entities), next.map(|next| (query, Rest::Ahead(next)))),
                    Err(error) => (Err(error), None),
                })
            }
        })
    })
}

/// What is left of a query.
enum Rest {
    Fetched(Result<Page, TableError>),
    Ahead(Continuation),
}
