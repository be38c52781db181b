//! What a message to a chat shows of a digest: the texts of a mail, with less detail and without what only a mail has.

use super::detail::{CARDS, Detail};
use super::view::View;
use super::{Digest, Occasion, RenderSettings, Writer};

/// How many steps of detail [`chat`] has. A message that is too large with one is written with the next one.
pub(crate) const CHAT_STEPS: usize = STEPS.len();

const STEPS: [Detail; 3] = [
    Detail { note: 1_500, lines: 20, field: 150, key: 100, rows: 10, history: 4, ..CARDS },
    Detail { note: 500, lines: 8, field: 100, key: 80, rows: 4, history: 3, ..CARDS },
    Detail { note: 150, lines: 2, field: 60, key: 70, rows: 2, history: 2, ..CARDS },
];

/// The texts of a digest for a chat, with less detail at each later step. The last step stands for all that come after.
pub(crate) fn chat(digest: &Digest, settings: &RenderSettings, step: usize) -> View {
    let writer = Writer::new(digest, settings);
    let groups = writer.groups();
    let subject = writer.subject(&writer.heading(), &groups);
    let view = writer.view(&groups, &subject, STEPS[step.min(CHAT_STEPS - 1)]);
    writer.as_chat(view)
}

/// The texts of a digest for a chat that does not take what its leads say: keys and times only.
pub(crate) fn chat_reduced(digest: &Digest, settings: &RenderSettings) -> View {
    let writer = Writer::new(digest, settings);
    let heading = match digest.leads.len() {
        0 => writer.heading(),
        leads => settings.language.counted(&writer.phrases.reduced.leads, leads),
    };
    let subject = writer.subject(&heading, &[]);
    let mut view = writer.as_chat(writer.reduced_view(&heading, &subject, STEPS[CHAT_STEPS - 1]));
    if let Some(section) = view.sections.first_mut().filter(|_| !digest.leads.is_empty()) {
        section.why.clone_from(&writer.phrases.chat.reduced_why);
    }
    view
}

impl Writer<'_> {
    /// A view without what only a mail has: the attached file, and links that hold a text of a lead.
    fn as_chat(&self, mut view: View) -> View {
        let leads = view.groups.iter_mut().flat_map(|group| &mut group.leads);
        for link in leads.filter_map(|lead| lead.email.as_mut()?.link.as_mut()) {
            let address = link.split('?').next().unwrap_or_default().len();
            link.truncate(address);
        }
        let notices = match self.digest.occasion {
            Occasion::MaybeRepeated => vec![self.phrases.chat.maybe_repeated.clone()],
            _ => self.notices(),
        };
        View { notices, footer: self.footer(), more: None, ..view }
    }
}
