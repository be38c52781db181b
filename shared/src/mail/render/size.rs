//! How large a mail becomes, known before it is written.

use crate::columns::{self, Column};
use crate::mail::digest::DigestLead;
use crate::mail::message::{MAX_MESSAGE_BYTES, base64_size};
use std::io;

/// What a mail may take besides the attached file: its HTML and its text, of up to 100 kB each, in an encoding that can
/// take three times as much, and its headers with 50 recipients.
const BESIDES_FILE: usize = 1_000_000;

/// How many of the leads, from the first one on, fit into one mail of [`MAX_MESSAGE_BYTES`]. It is 0 where the first one
/// alone is larger: [`render_reduced`](super::render_reduced) writes a mail for such a lead.
///
/// No more than one row of the file is in memory at a time.
pub fn leads_that_fit(leads: &[DigestLead]) -> usize {
    let mut file = columns::writer(Bytes(columns::BYTE_ORDER_MARK.len()));
    let mut fitting = 0;
    let mut is_written = columns::write_headings(&mut file, Column::heading).is_ok();
    for lead in leads {
        is_written = is_written && columns::write_lead(&mut file, &lead.stored).is_ok() && file.flush().is_ok();
        if !is_written || base64_size(file.get_ref().0) > MAX_MESSAGE_BYTES - BESIDES_FILE {
            break;
        }
        fitting += 1;
    }
    fitting
}

/// Counts what is written to it.
struct Bytes(usize);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
