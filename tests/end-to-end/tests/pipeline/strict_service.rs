//! The pipeline once more, on a table service that is as strict as Azure's.

use crate::{leads_reach_the_mailbox, notifier};
use local_cloud::{LocalCloud, Options, TableKind};

/// One cloud for all of it: what a part leaves behind is removed before the next one.
#[tokio::test]
async fn leads_go_all_the_way_on_the_strict_service_too() {
    // Where Lambda lets all runs go on at once, the lease is what keeps them apart.
    let parameters = vec![("ReserveConcurrency".to_owned(), "false".to_owned())];
    let options = Options { proxies: true, table: TableKind::Strict, parameters, ..Options::default() };
    let cloud = LocalCloud::start(options).await.unwrap();
    leads_reach_the_mailbox::both_sources_end_in_one_mail(&cloud).await;
    empty(&cloud).await;
    leads_reach_the_mailbox::keys_are_checked_and_repeats_known(&cloud).await;
    empty(&cloud).await;
    notifier::a_backlog_goes_out_whole(&cloud).await;
    empty(&cloud).await;
    notifier::runs_at_once_share_the_leads(&cloud).await;
    empty(&cloud).await;
    notifier::requests_do_not_grow_with_the_table(&cloud).await;
}

async fn empty(cloud: &LocalCloud) {
    for table in [cloud.leads_table(), cloud.state_table()] {
        cloud.table().delete(table).await.unwrap();
        cloud.table().create(table).await.unwrap();
    }
    cloud.inbox().clear().await.unwrap();
}
