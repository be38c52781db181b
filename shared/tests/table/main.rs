//! What the table port makes of Azure Table storage as it is documented: throttling, empty pages, limits of batches, all
//! kinds of refusals. Azurite does none of it; a stub that follows the documentation does. Each case names its page.

mod replies;

use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{
    ConnectionString, Damage, ETag, Entity, Keys, MAX_ANSWER_BYTES, Operation, Query, Table as _, TableError,
};
use replies::{ETAG, KEY, TIMESTAMP};
use std::time::{Duration, Instant};
use support::scripted_http::{Reply, ScriptedServer};

const DOCUMENTATION: &str = "https://learn.microsoft.com/rest/api/storageservices/";

/// Retries of a function that may wait; time-outs so short that a test does not.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(1),
    request: Duration::from_secs(2),
    retries: 4,
    total: Duration::from_secs(20),
    page_bytes: MAX_ANSWER_BYTES,
};

fn table(stub: &ScriptedServer) -> AzureTable {
    let text = format!("AccountName=contoso;AccountKey={KEY};TableEndpoint={}/contoso", stub.address());
    AzureTables::new(&ConnectionString::parse(&text).unwrap(), LIMITS).unwrap().table("Leads")
}

async fn stub(answers: impl IntoIterator<Item = Reply>) -> (ScriptedServer, AzureTable) {
    let stub = ScriptedServer::start(answers).await.unwrap();
    let table = table(&stub);
    (stub, table)
}

fn row() -> Entity {
    Entity::new("p", "r").with("Text", "hidden-text")
}

/// An error that was asked for shows neither key nor address nor row, and nothing of the service's words.
fn shows_nothing(error: &TableError) {
    let shown = format!("{error} {error:?}");
    for hidden in [KEY, "127.0.0.1", "contoso", "hidden", "SharedKey"] {
        assert!(!shown.contains(hidden), "{hidden} stands in: {shown}");
    }
}

// Throttling: common-rest-api-error-codes, and `Retry-After` as in RFC 9110, 10.2.3.

#[tokio::test]
async fn a_busy_service_is_asked_again_until_it_has_time() {
    for busy in [
        replies::error(503, "ServerBusy"),
        replies::error(429, "TooManyRequests"),
        replies::error(500, "InternalError"),
    ] {
        let (stub, table) = stub([busy.clone(), busy, replies::inserted()]).await;
        let since = Instant::now();
        assert_eq!(table.insert(&row()).await, Ok(()));
        assert_eq!(stub.requests().len(), 3);
        // Pauses of 100 and 200 ms.
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_pause_that_the_service_asks_for_is_kept_but_not_for_ever() {
    for (asked, least, most) in [("1", 1, 4), ("3600", 5, 9)] {
        let busy = replies::error(503, "ServerBusy").with("retry-after", asked);
        let (_stub, table) = stub([busy, replies::inserted()]).await;
        let since = Instant::now();
        assert_eq!(table.insert(&row()).await, Ok(()));
        let took = since.elapsed();
        assert!((Duration::from_secs(least)..Duration::from_secs(most)).contains(&took), "{asked}: {took:?}");
    }
}

#[tokio::test]
async fn retries_end_and_tell_throttling_from_failure() {
    let throttled = |code: &str| TableError::Throttled { code: code.to_owned() };
    let unavailable = |reason: &str| TableError::Unavailable { reason: reason.to_owned() };
    for (reply, expected) in [
        (replies::error(503, "ServerBusy"), throttled("ServerBusy")),
        (replies::error(429, "TooManyRequests"), throttled("TooManyRequests")),
        (replies::error(500, "OperationTimedOut"), unavailable("the service answered 500 OperationTimedOut")),
        (replies::error(500, "InternalError"), unavailable("the service answered 500 InternalError")),
        (Reply::text(502, "text/html", "<html>hidden</html>"), unavailable("the service answered 502")),
    ] {
        let (stub, table) = stub(vec![reply; 20]).await;
        assert_eq!(table.insert(&row()).await, Err(expected.clone()));
        assert!(expected.is_transient());
        assert_eq!(stub.requests().len(), 5, "one try and four retries: {expected}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up() {
    let limits = Limits { request: Duration::from_millis(100), retries: 2, ..LIMITS };
    let stub = ScriptedServer::start(vec![Reply::silence(); 9]).await.unwrap();
    let text = format!("AccountName=contoso;AccountKey={KEY};TableEndpoint={}/contoso", stub.address());
    let table = AzureTables::new(&ConnectionString::parse(&text).unwrap(), limits).unwrap().table("Leads");
    let error = table.insert(&row()).await.unwrap_err();
    assert_eq!(error, TableError::Unavailable { reason: "no answer in time".to_owned() });
    assert_eq!(stub.requests().len(), 3);
    shows_nothing(&error);
}

/// However long a pause the service asks for and however often it fails, nobody waits for longer than the total.
#[tokio::test]
async fn a_call_ends_within_its_total_wherever_it_is() {
    let short = Duration::from_millis(300);
    let minute = Duration::from_secs(60);
    let busy = || replies::error(503, "ServerBusy").with("retry-after", "5");
    for (request, reply, requests) in
        [(minute, Reply::silence(), 1), (short / 2, Reply::silence(), 2), (minute, busy(), 1)]
    {
        let limits = Limits { request, retries: 1_000, total: short, ..LIMITS };
        let stub = ScriptedServer::start(vec![reply; 100]).await.unwrap();
        let text = format!("AccountName=contoso;AccountKey={KEY};TableEndpoint={}/contoso", stub.address());
        let table = AzureTables::new(&ConnectionString::parse(&text).unwrap(), limits).unwrap().table("Leads");
        let operations = [Operation::Insert(row())];
        for (number, result) in [
            table.insert(&row()).await,
            table.get(&Keys::new("p", "r")).await.map(drop),
            table.page(&Query::default(), None).await.map(drop),
            table.submit("p", &operations).await.map(drop),
            table.delete(&Keys::new("p", "r")).await,
            table.create().await,
        ]
        .into_iter()
        .enumerate()
        {
            let expected = TableError::Unavailable { reason: "no answer in time".to_owned() };
            assert_eq!(result, Err(expected), "call {number}");
        }
        let came = stub.requests().len();
        assert!((6..=6 * requests).contains(&came), "{came} requests for six calls");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_not_asked_again() {
    for (status, code) in [
        (400, "PropertyValueTooLarge"),
        (400, "EntityTooLarge"),
        (400, "TooManyProperties"),
        (405, "MethodNotAllowed"),
        (413, "RequestBodyTooLarge"),
        (415, "JsonFormatNotSupported"),
    ] {
        let (stub, table) = stub(vec![replies::error(status, code); 9]).await;
        let error = table.insert(&row()).await.unwrap_err();
        assert_eq!(error, TableError::Rejected { status, code: code.to_owned() });
        assert!(!error.is_transient() && stub.requests().len() == 1, "{code}");
        shows_nothing(&error);
    }
}

// Pages: query-timeout-and-pagination. A page ends after 1,000 rows, after five seconds, and where the rows lie on another
// server; it can be empty, and the second header can be missing.

#[tokio::test]
async fn pages_are_read_until_no_token_comes_however_empty_they_are() {
    let (stub, table) = stub([
        replies::page(0).with("x-ms-continuation-NextPartitionKey", "1!4!cA--"),
        replies::page(2)
            .with("x-ms-continuation-NextPartitionKey", "1!8!cGE-")
            .with("x-ms-continuation-NextRowKey", "1!8!cjI-"),
        replies::page(0)
            .with("x-ms-continuation-NextPartitionKey", "1!8!cGI-")
            .with("x-ms-continuation-NextRowKey", "1!8!cjM-"),
        replies::page(1),
    ])
    .await;
    let rows = table.all(&Query::partition("it's")).await.unwrap();
    assert_eq!(rows.len(), 3);
    let asked: Vec<_> = stub.requests().iter().map(|request| request.query.clone()).collect();
    assert!(asked.iter().all(|query| query.contains("%24filter=PartitionKey+eq+%27it%27%27s%27")), "{asked:?}");
    let token = |place: usize, name: &str| {
        let pairs = url::form_urlencoded::parse(asked[place].as_bytes());
        pairs.into_owned().find(|(pair, _)| pair == name).map(|(_, value)| value)
    };
    let tokens: Vec<_> = (0..4).map(|place| (token(place, "NextPartitionKey"), token(place, "NextRowKey"))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        tokens,
        [
            (None, None),
            (some("1!4!cA--"), None),
            (some("1!8!cGE-"), some("1!8!cjI-")),
            (some("1!8!cGI-"), some("1!8!cjM-")),
        ]
    );
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_again_from_the_same_place_with_a_quarter_of_the_rows() {
    let token = |reply: Reply| {
        reply.with("x-ms-continuation-NextPartitionKey", "1!4!cA--").with("x-ms-continuation-NextRowKey", "1!4!cg--")
    };
    let (large, small) = (replies::large_page, || token(replies::page(1)));
    let replies = [small(), large(), token(large()), small(), large(), small(), replies::page(1), small(), large()];
    let (stub, table) = stub(replies).await;
    let query = Query { page_size: Some(100), ..Query::partition("p") };
    let mut next = None;
    for _ in 0..4 {
        next = table.page(&query, next.as_ref()).await.unwrap().next;
    }
    assert_eq!(next, None);
    let asked = |name: &str| {
        let value = |query: &str| {
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.into_owned().find(|(pair, _)| pair == name).map(|(_, value)| value).unwrap_or_default()
        };
        stub.requests().iter().map(|request| value(&request.query)).collect::<Vec<_>>()
    };
    assert_eq!(
        asked("$top"),
        ["100", "100", "25", "6", "12", "3", "6"],
        "a page that fits is tried with twice the rows"
    );
    assert_eq!(asked("NextRowKey"), ["", "1!4!cg--", "1!4!cg--", "1!4!cg--", "1!4!cg--", "1!4!cg--", "1!4!cg--"]);

    let one = Query { page_size: Some(1), ..query };
    assert!(table.page(&one, None).await.is_ok());
    let error = table.page(&one, None).await.unwrap_err();
    assert_eq!(error, TableError::Rejected { status: 200, code: "AnswerTooLarge".to_owned() });
    assert_eq!(stub.requests().len(), 9, "what is too large alone is not asked for again");
}

// Rows: payload-format-for-table-service-operations, understanding-the-table-service-data-model.

/// A text column that holds half of a surrogate pair, as the service may send it.
const HALF_PAIR: &str = "\"Text\":\"a\\ud83d\"";

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_no_other_row_of_its_page() {
    let good = format!("{TIMESTAMP},\"Text\":\"good\"");
    for (bad, damage, text) in [
        (format!("{TIMESTAMP},{HALF_PAIR}"), Damage::ReplacedCharacters, "a\u{fffd}"),
        (format!("{TIMESTAMP},\"Text\":[1]"), Damage::Unreadable, "[1]"),
        (format!("{TIMESTAMP},\"Text@odata.type\":\"Edm.Int64\",\"Text\":\"x\""), Damage::Unreadable, "x"),
        (format!("{TIMESTAMP},\"Text\":-1e999"), Damage::Unreadable, "-1e999"),
        ("\"Timestamp\":\"2026-02-30T00:00:00Z\",\"Text\":\"x\"".to_owned(), Damage::Unreadable, "x"),
        ("\"Text\":\"no time\"".to_owned(), Damage::Unreadable, "no time"),
    ] {
        let (stub, table) = stub([replies::page_of(&[&good, &bad, &good]), replies::entity_of(&bad)]).await;
        let rows = table.all(&Query::partition("p")).await.unwrap();
        let shown: Vec<_> = rows.iter().map(|row| (row.row_key.as_str(), row.damage, row.string("Text"))).collect();
        let expected = [("0", None, Some("good")), ("1", Some(damage), Some(text)), ("2", None, Some("good"))];
        assert_eq!(shown, expected, "{bad}");
        let read = table.get(&Keys::new("p", "0")).await.unwrap();
        assert_eq!((read.damage, read.string("Text")), (Some(damage), Some(text)), "{bad}");
        assert_eq!(stub.requests().len(), 2);
    }
}

#[tokio::test]
async fn only_a_row_without_readable_keys_is_left_out_of_its_page() {
    let good = format!("{TIMESTAMP},\"Text\":\"good\"");
    for keys in ["\"RowKey\":7", "\"RowKey\":null", "\"PartitionKey\":[]"] {
        // The later of two columns of one name counts.
        let bad = format!("{TIMESTAMP},{keys}");
        let (_stub, table) = stub([replies::page_of(&[&good, &bad, &good]), replies::entity_of(&bad)]).await;
        let rows = table.all(&Query::partition("p")).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.row_key.as_str()).collect::<Vec<_>>(), ["0", "2"]);
        let error = table.get(&Keys::new("p", "0")).await.unwrap_err();
        assert!(matches!(error, TableError::Unavailable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_header_that_nobody_needs_turns_no_stored_row_into_an_error() {
    let (stub, table) = stub([replies::inserted().with("location", "no address")]).await;
    assert_eq!(table.insert(&Entity::new("p", "r")).await, Ok(()));
    assert_eq!(stub.requests().len(), 1);
}

/// Recorded answers of the service have `odata.etag` in each row of a page under minimal metadata, which we ask for.
#[tokio::test]
async fn rows_of_a_page_have_their_versions() {
    let (stub, table) = stub([replies::page_of(&[TIMESTAMP])]).await;
    let rows = table.all(&Query::partition("p")).await.unwrap();
    assert_eq!(rows[0].etag, Some(ETag(ETAG.to_owned())));
    assert_eq!(stub.requests()[0].header("accept"), Some("application/json;odata=minimalmetadata"));
}

#[tokio::test]
async fn columns_are_selected_once_and_partitions_are_sought_behind_a_key() {
    let (stub, table) = stub([replies::page(0), replies::page(0)]).await;
    let keys = Query { select: vec!["RowKey"], page_size: Some(1), ..Query::default() };
    table.page(&keys, None).await.unwrap();
    table.page(&Query { partition_key_after: Some("it's".to_owned()), ..keys }, None).await.unwrap();
    let asked: Vec<_> = stub.requests().iter().map(|request| request.query.clone()).collect();
    let keys = "%24select=PartitionKey%2CRowKey%2CTimestamp&%24top=1";
    assert_eq!(asked, [keys.to_owned(), format!("%24filter=PartitionKey+gt+%27it%27%27s%27&{keys}")]);
}

#[tokio::test]
async fn a_page_that_fails_is_no_end_of_the_rows() {
    let first = || replies::page(2).with("x-ms-continuation-NextPartitionKey", "1!4!cA--");
    let (_stub, table) = stub([first(), replies::error(400, "InvalidInput")]).await;
    assert!(table.all(&Query::default()).await.is_err());
    let (_stub, table) = stub([first(), replies::cut_page()]).await;
    assert!(matches!(table.all(&Query::default()).await, Err(TableError::Unavailable { .. })));
}

// Versions: specifying-conditional-headers-for-table-service-operations, update-entity2, delete-entity1.

#[tokio::test]
async fn a_version_goes_back_as_it_came_and_a_delete_takes_any() {
    let (stub, table) = stub([replies::entity(), replies::batch(&[(204, "")]), replies::deleted()]).await;
    let read = table.get(&Keys::new("p", "r")).await.unwrap();
    let etags = table.submit("p", &[Operation::Replace(row(), read.etag.clone().unwrap())]).await.unwrap();
    assert_eq!(etags, [read.etag]);
    table.delete(&Keys::new("p", "r")).await.unwrap();
    let requests = stub.requests();
    assert!(requests[1].body.contains(&format!("if-match: {ETAG}\n")), "{}", requests[1].body);
    assert_eq!(requests[2].header("if-match"), Some("*"));
}

// Codes: table-service-error-codes and common-rest-api-error-codes. A whole answer, or the part of a batch that failed: the
// batch itself is answered with 202 (performing-entity-group-transactions).

#[tokio::test]
async fn conflict_condition_and_absence_are_told_apart_alone_and_in_batches() {
    let rejected = |status: u16, code: &str| TableError::Rejected { status, code: code.to_owned() };
    let refused = |status: u16, code: &str| TableError::Refused { status, code: code.to_owned() };
    for (status, code, expected) in [
        (409, "EntityAlreadyExists", TableError::Exists),
        (412, "UpdateConditionNotSatisfied", TableError::Precondition),
        (412, "ConditionNotMet", TableError::Precondition),
        (404, "ResourceNotFound", TableError::NotFound),
        (404, "EntityNotFound", TableError::NotFound),
        (404, "TableNotFound", TableError::TableNotFound),
        (400, "InvalidDuplicateRow", rejected(400, "InvalidDuplicateRow")),
        (400, "CommandsInBatchActOnDifferentPartitions", rejected(400, "CommandsInBatchActOnDifferentPartitions")),
        (403, "AuthenticationFailed", refused(403, "AuthenticationFailed")),
        (403, "AuthorizationPermissionMismatch", refused(403, "AuthorizationPermissionMismatch")),
        (401, "NoAuthenticationInformation", refused(401, "NoAuthenticationInformation")),
    ] {
        let (stub, table) = stub([replies::error(status, code), replies::batch(&[(204, ""), (status, code)])]).await;
        let alone = table.insert(&row()).await.unwrap_err();
        let batch = [Operation::Insert(row()), Operation::Insert(Entity::new("p", "s"))];
        let in_batch = table.submit("p", &batch).await.unwrap_err();
        assert_eq!((&alone, &in_batch), (&expected, &expected), "{DOCUMENTATION}table-service-error-codes: {code}");
        assert_eq!(stub.requests().len(), 2);
        shows_nothing(&alone);
        shows_nothing(&in_batch);
    }
}

/// A lead that is taken for a duplicate, or a digest that is taken for deleted, is lost: that needs the service's word.
#[tokio::test]
async fn a_conflict_or_absence_without_the_services_word_for_it_proves_nothing() {
    for reply in [
        Reply::text(409, "text/html", "<h1>Conflict</h1>"),
        Reply::text(404, "text/html", "<h1>Not Found</h1>"),
        Reply::text(404, "application/json", "{\"message\":\"no Route matched with those values\"}"),
        replies::error(409, "TableBeingDeleted"),
        replies::error(409, "AccountBeingCreated"),
    ] {
        let (_stub, table) = stub([reply.clone(), reply.clone()]).await;
        for result in [table.insert(&row()).await, table.get(&Keys::new("p", "r")).await.map(drop)] {
            assert!(matches!(&result, Err(TableError::Unavailable { .. })), "{result:?}");
        }
    }
}

#[tokio::test]
async fn the_code_is_found_in_header_json_and_xml() {
    const XML: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><m:error xmlns:m=\"http://schemas.microsoft.com/ado/2007/08/\
                       dataservices/metadata\"><m:code>TableNotFound</m:code><m:message>hidden</m:message></m:error>";
    const COMMON: &str = "<?xml version=\"1.0\"?><Error><Code>TableNotFound</Code><Message>hidden</Message></Error>";
    for reply in [
        Reply::text(404, "application/json", &replies::problem("TableNotFound")),
        Reply::text(404, "application/xml", XML),
        Reply::text(404, "application/xml", COMMON),
        Reply::text(404, "application/json", "").with("x-ms-error-code", "TableNotFound"),
    ] {
        let (_stub, table) = stub([reply]).await;
        assert_eq!(
            table.insert(&row()).await,
            Err(TableError::TableNotFound),
            "{DOCUMENTATION}status-and-error-codes2"
        );
    }
}

#[tokio::test]
async fn a_code_that_is_no_code_is_not_passed_on() {
    for code in [KEY, "hidden code of a hidden server", "<hidden>", ""] {
        let (_stub, table) = stub([replies::error(400, code), replies::error(403, code)]).await;
        let rejected = table.insert(&row()).await.unwrap_err();
        assert_eq!(rejected, TableError::Rejected { status: 400, code: String::new() });
        shows_nothing(&rejected);
        shows_nothing(&table.insert(&row()).await.unwrap_err());
    }
}

// Batches: performing-entity-group-transactions. At most 100 operations and 4 MiB, all on one partition, each on another row.

#[tokio::test]
async fn a_batch_over_the_limits_is_rejected() {
    let rows: Vec<_> = (0..101).map(|number| Operation::Insert(Entity::new("p", number.to_string()))).collect();
    let (stub, table) = stub([]).await;
    assert!(matches!(table.submit("p", &rows).await, Err(TableError::Rejected { status: 400, .. })));
    assert!(stub.requests().is_empty(), "more than 100 are not even sent");
    let large = |number: usize| Entity::new("p", number.to_string()).with("Body", vec![0; 40_000]);
    let large: Vec<_> = (0..100).map(|number| Operation::Insert(large(number))).collect();
    let error = table.submit("p", &large).await.unwrap_err();
    assert_eq!(error, TableError::Rejected { status: 413, code: "RequestBodyTooLarge".to_owned() });
    assert!(stub.requests().is_empty(), "more than 4 MiB are not even sent");
    shows_nothing(&error);
}

/// Callers cut batches by what operations say of their size, so that must never be less than what is sent.
#[tokio::test]
async fn a_batch_is_no_larger_than_its_operations_say() {
    let hostile = "'%\u{1}\"\\ключ😀".repeat(20);
    let rows = [
        Entity::new("p'p", "r"),
        Entity::new("p'p", "'😀".repeat(100)).with(&"n".repeat(255), hostile.as_str()),
        Entity::new("p'p", "binary").with("Body", vec![255; 60_000]).with("Time", 7),
    ];
    let operations = rows.into_iter().flat_map(|row| {
        let row_key = row.row_key.clone();
        [
            vec![Operation::Insert(row.clone()); 20],
            vec![Operation::InsertOrReplace(row.clone()); 2],
            vec![Operation::Replace(row, ETag(ETAG.to_owned()))],
            vec![Operation::Delete { row_key }],
        ]
    });
    for operations in operations {
        let (stub, table) = stub([replies::deleted()]).await;
        assert!(table.submit("p'p", &operations).await.is_err(), "the stub knows no answer to a batch");
        let sent = stub.requests()[0].body.len();
        let said = operations.iter().map(Operation::bytes).sum::<usize>();
        assert!(sent <= said && said <= sent + operations.len() * 6_000, "{sent} bytes were sent, {said} said");
    }
}

#[tokio::test]
async fn a_batch_whose_part_is_throttled_is_sent_again() {
    let (stub, table) = stub([replies::batch(&[(503, "ServerBusy")]), replies::batch(&[(204, "")])]).await;
    assert!(table.submit("p", &[Operation::InsertOrReplace(row())]).await.is_ok());
    assert_eq!(stub.requests().len(), 2);
}

#[tokio::test]
async fn a_batch_with_fewer_answers_than_operations_may_not_have_been_done() {
    let operations = [Operation::InsertOrReplace(row()), Operation::InsertOrReplace(Entity::new("p", "s"))];
    for reply in
        [replies::batch(&[(204, "")]), Reply::text(202, "text/html", "<html>"), Reply::text(200, "text/html", "")]
    {
        let (_stub, table) = stub([reply]).await;
        let result = table.submit("p", &operations).await;
        assert!(matches!(result, Err(TableError::Unavailable { .. })), "{result:?}");
    }
}

// Headers: insert-entity, get-entity (response headers).

#[tokio::test]
async fn only_an_answer_of_the_table_service_counts_as_done() {
    let (_stub, table) = stub([replies::inserted().without("server"), replies::entity().without("server")]).await;
    assert_eq!(table.insert(&row()).await, Ok(()), "a filter on the way takes `Server` out");
    assert!(table.get(&Keys::new("p", "r")).await.is_ok());
    for missing in ["x-ms-request-id", "x-ms-version", "etag"] {
        let (_stub, table) = stub([replies::inserted().without(missing), replies::entity().without(missing)]).await;
        for result in [table.insert(&row()).await, table.get(&Keys::new("p", "r")).await.map(drop)] {
            assert!(matches!(result, Err(TableError::Unavailable { .. })), "{missing}: {result:?}");
        }
    }
    for reply in [
        Reply::text(200, "text/html", "<html>Log in to the network</html>"),
        Reply::text(204, "", ""),
        Reply::text(302, "text/html", "").with("location", "http://127.0.0.1:1/login"),
    ] {
        let (stub, table) = stub([reply]).await;
        assert!(table.insert(&row()).await.is_err());
        assert_eq!(stub.requests().len(), 1);
    }
}

#[tokio::test]
async fn every_request_says_its_time_its_version_and_who_asks() {
    let (stub, table) = stub([replies::inserted(), replies::entity(), replies::page(1), replies::deleted()]).await;
    table.insert(&row()).await.unwrap();
    table.get(&Keys::new("p", "r")).await.unwrap();
    table.all(&Query::default()).await.unwrap();
    table.delete(&Keys::new("p", "r")).await.unwrap();
    for request in stub.requests() {
        let date = jiff::fmt::rfc2822::parse(request.header("x-ms-date").unwrap()).unwrap();
        assert!(date.timestamp().duration_since(jiff::Timestamp::now()).abs() < jiff::SignedDuration::from_secs(60));
        assert!(request.header("x-ms-version").is_some());
        assert!(request.header("authorization").unwrap().starts_with("SharedKey"));
        assert!(!format!("{request:?}").contains(KEY));
    }
}

// Connections: no page, but what a thousand TLS handshakes cost.

#[tokio::test]
async fn one_connection_serves_a_thousand_inserts() {
    let (stub, table) = stub(vec![replies::inserted(); 1_000]).await;
    for _ in 0..1_000 {
        table.insert(&row()).await.unwrap();
    }
    assert_eq!((stub.requests().len(), stub.connections()), (1_000, 1));
}
