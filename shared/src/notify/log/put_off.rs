//! Leads that are owed and cannot be read now: they are owed again behind the others.

use super::rows::{Channel, Entry, LogRow};
use super::{Log, bits};
use crate::notify::NotifyError;
use crate::table::{Operation, Table};
use std::collections::BTreeMap;

impl<T: Table> Log<T> {
    /// Notes that a channel owes entries again in a new row of the log, which has this key, in place of those before its
    /// cursor.
    pub(crate) async fn put_off(
        &mut self,
        channel: Channel,
        key: &str,
        entries: Vec<Entry>,
    ) -> Result<(), NotifyError> {
        let mut bits = bits::Bits::default();
        (0..entries.len()).for_each(|index| bits.set(index));
        let row = LogRow { key: key.to_owned(), entries, owed_by: BTreeMap::from([(channel.id.clone(), bits)]) };
        let operations = vec![
            Operation::InsertOrReplace(self.progress.to_entity(key)),
            Operation::Insert(row.to_entity()),
            Operation::InsertOrReplace(channel.to_entity()),
        ];
        self.commit(operations, true).await?;
        self.last_log = key.to_owned();
        self.put(vec![channel]);
        Ok(())
    }
}
