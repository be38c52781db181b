//! A mail as it is handed to a mail service, and how large it is.

/// A mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Sender: an address, or `Name <address>`.
    pub from: String,
    /// Recipients, at most [`MAX_RECIPIENTS`].
    pub to: Vec<String>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// Subject.
    pub subject: String,
    /// HTML part.
    pub html: String,
    /// Text part.
    pub text: String,
    /// Further headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Attached files.
    pub attachments: Vec<Attachment>,
}

/// A file attached to a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Content.
    pub content: Vec<u8>,
}

/// The most recipients that SES takes in one mail.
///
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub const MAX_RECIPIENTS: usize = 50;

/// The longest address in bytes that may stand in a header, in the form in which it stands there: with the domain in
/// ASCII (`xn--…`).
///
/// RFC 5321, 4.5.3.1.3 allows a path of 256 bytes, with the two angle brackets around the address.
pub const MAX_ADDRESS_BYTES: usize = 254;

/// The largest mail in bytes that we send, encoded for transport, as [`Message::size`] counts it.
///
/// SES takes 40 MB, and slows down for mails of more than 10 MB
/// (<https://docs.aws.amazon.com/ses/latest/dg/quotas.html>). The mail systems of recipients may take less than SES. A
/// mail is in memory several times while it is sent, so this bounds the memory of a function, too.
pub const MAX_MESSAGE_BYTES: usize = 7_000_000;

/// The largest mail in bytes that SES takes, encoded for transport.
///
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub(super) const SES_MAX_MESSAGE_BYTES: usize = 40_000_000;

const _: () = assert!(MAX_MESSAGE_BYTES < SES_MAX_MESSAGE_BYTES);

impl Message {
    /// A bound of the mail's size in bytes as it is sent: headers, both parts, and the attached files in Base64, with
    /// the line breaks that MIME needs. The mail is never larger.
    pub fn size(&self) -> usize {
        let Self { from, to, reply_to, subject, html, text, headers, attachments } = self;
        let addresses = to.iter().chain(reply_to).chain([from]).map(|address| header_size(address)).sum::<usize>();
        addresses + content_size(subject, html, text, headers, attachments)
    }
}

/// The part of [`Message::size`] that does not depend on sender and recipients.
pub(super) fn content_size<'a>(
    subject: &str,
    html: &str,
    text: &str,
    headers: &[(String, String)],
    attachments: impl IntoIterator<Item = &'a Attachment>,
) -> usize {
    /// What every mail has besides: `Received`, `Date`, `Message-ID`, two DKIM signatures, the boundaries and headers of
    /// its parts.
    const FRAME: usize = 8_192;
    let headers: usize = headers.iter().map(|(name, value)| name.len() + header_size(value)).sum();
    let attachments: usize = attachments.into_iter().map(attachment_size).sum();
    FRAME + header_size(subject) + headers + part_size(html) + part_size(text) + attachments
}

/// The size of an attached file with the headers of its part.
fn attachment_size(attachment: &Attachment) -> usize {
    let Attachment { name, content_type, content } = attachment;
    // The name stands in two headers.
    512 + 2 * header_size(name) + header_size(content_type) + base64_size(content.len())
}

/// The size of bytes in Base64, with a line break after 76 characters (RFC 2045, 6.8).
pub(super) fn base64_size(bytes: usize) -> usize {
    let characters = bytes.div_ceil(3) * 4;
    characters + characters.div_ceil(76) * 2
}

/// The size of a header's value, folded. In encoded words (RFC 2047), a byte takes three, and a word of 21 bytes takes
/// 15 more for its frame and the line break after it.
fn header_size(value: &str) -> usize {
    let encoded = if value.is_ascii() { value.len() + value.len() / 20 * 3 } else { 4 * value.len() };
    encoded + 32
}

/// The size of a text in the larger one of the two encodings that MIME has for it: quoted-printable, in which a byte
/// outside of ASCII takes three and a line of 73 characters takes three more (RFC 2045, 6.7), and Base64.
fn part_size(text: &str) -> usize {
    let mut size = 0_usize;
    for byte in text.bytes() {
        size += match byte {
            b'=' | b'\t' | b'\r' | 0x7f.. => 3,
            // A line break becomes CR LF, and a space before it is encoded.
            b'\n' => 5,
            _ => 1,
        };
    }
    (size + size.div_ceil(73) * 3).max(base64_size(text.len()))
}
