//! What happens in a world beside the functions' own work: the calendar of a publisher's life.

use crate::config::{LeadKind, Permanent};
use crate::coverage::Sometimes;
use crate::desk::Service;
use crate::export::{FORMATS, Wanted};
use crate::lambda::{Request, Task};
use crate::leads::{self, NewLead};
use crate::receivers::{MOODS, Parameter};
use crate::world::{Event, World};
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::{Day, Lead};
use marketplace_leads::quarantine::Quarantined;
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::table::Entity;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The number of the lead that the mail service refuses in a world with such a one.
pub(crate) const POISONED: usize = 3;

/// How long after the faults everything must be mailed: so much time, and so many runs.
const SETTLE: (SignedDuration, i32) = (SignedDuration::from_hours(52), 40);

/// How long after the faults everything must be mailed that no patrol has to find: so much time, and so many runs.
const SOON: (SignedDuration, i32) = (SignedDuration::from_hours(6), 8);

/// How many mails a run can send at least where nothing goes wrong, each with the requests that it takes.
const MAILS_A_RUN: usize = 25;

/// How late a lead may be where nothing goes wrong: so much time, and so many intervals.
const AT_ONCE: (SignedDuration, i32) = (SignedDuration::from_mins(15), 2);

/// How many calm days there are to a time at which leads come.
const CALM_DAYS_A_LEAD: u32 = 30;

/// The largest bursts of leads that are mailed at once.
const SMALL_BURST: u32 = 80;

/// A row on its way into the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    lead: usize,
    kind: LeadKind,
    entity: Entity,
    written: Timestamp,
}

impl World {
    /// Puts everything on the calendar that does not depend on what the functions do.
    pub(crate) fn schedule_everything(&mut self) {
        self.write_old_rows();
        if self.config.is_kind && self.config.suppressed_hours > 0 {
            self.at(self.began, Event::Suppress(true));
        }
        if self.config.is_upgraded {
            self.write_old_state();
        }
        // Where no interval is set, everything is searched once a week.
        let is_off = self.config.sweep_hours == 0 || self.config.setting_changes > 0;
        let searched = if is_off { SETTLE.0 + HOUR * (6 * 24) } else { SETTLE.0 };
        let settle = searched.max(self.config.interval * SETTLE.1);
        // The first run is undisturbed: from then on the notifier is answerable for every lead.
        let mut time = self.began + self.config.interval.max(HOUR) + MINUTE * 10;
        if self.config.is_upgraded {
            // What is moved over is disturbed, too.
            time = self.began;
        }
        for length in self.config.storms.clone() {
            let end = time + length;
            self.at(time, Event::StormBegins);
            self.schedule_leads(time, length);
            self.schedule_trouble(time, length);
            self.at(end, Event::StormEnds);
            self.at(end + settle, Event::QuietEnds { written_until: end + HOUR });
            time = end + settle;
        }
        if self.config.calm_days > 0 {
            let length = HOUR * (24 * i32::try_from(self.config.calm_days).unwrap_or(1));
            for _ in 0..self.config.calm_days.div_ceil(CALM_DAYS_A_LEAD) {
                let arrival = time + self.tapes.workload.between(SignedDuration::ZERO, length);
                self.at(arrival, Event::Arrive);
            }
            // Who asks again does so within three days.
            let end = time + length + HOUR * 72;
            self.at(end + self.soon(), Event::RunsWereMade { written_until: end });
            time = end + settle;
            self.at(time, Event::QuietEnds { written_until: end });
        }
        self.ticks_until = time;
        self.at(self.began, Event::Tick);
    }

    /// When, counted from the end of the faults, everything must be mailed that no patrol has to find. A backlog takes the
    /// runs that its mails take.
    pub(crate) fn soon(&self) -> SignedDuration {
        let parts = self.config.recipients.div_ceil(50);
        let mails = self.model.written() / self.config.digest_size as usize * parts as usize;
        let runs = SOON.1 + i32::try_from(mails / MAILS_A_RUN).unwrap_or(i32::MAX);
        SOON.0.max(self.config.interval * runs)
    }

    /// Rows from before the product was installed.
    fn write_old_rows(&mut self) {
        for day in 2..self.config.old_days {
            let written = self.began - HOUR * (24 * i32::try_from(day).unwrap_or(i32::MAX));
            for number in 0..3 {
                let key = Day::of(written).partition_key();
                let row = Entity::new(key, format!("old-{number}")).with("LeadSource", "SPZA-INS|contoso.old");
                self.leads.put(row, written);
            }
        }
    }

    fn schedule_leads(&mut self, from: Timestamp, length: SignedDuration) {
        let days = length.as_secs_f64() / 86_400.0;
        let a_day = f64::from(self.config.leads_a_day) / f64::from(self.config.burst).max(1.0) * 2.0;
        let count = ((a_day * days) as u32).clamp(1, 400);
        for _ in 0..count {
            let time = from + self.tapes.workload.between(SignedDuration::ZERO, length);
            self.at(time, Event::Arrive);
        }
    }

    /// Outages, and what the operator does.
    fn schedule_trouble(&mut self, from: Timestamp, length: SignedDuration) {
        let outages = [
            (Service::Leads, self.config.table_outages),
            (Service::Mail, self.config.mail_outages),
            (Service::Queue, self.config.queue_outages),
        ];
        for (service, (count, longest)) in outages {
            for _ in 0..count {
                let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
                let end = begin + self.tapes.faults.between(MINUTE, longest);
                self.at(begin, Event::Outage { service, is_down: true });
                self.at(end, Event::Outage { service, is_down: false });
            }
        }
        for _ in 0..self.config.moods.0 {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let end = begin + self.tapes.faults.between(MINUTE, self.config.moods.1);
            let (receiver, mood) = (self.tapes.faults.below(self.config.receivers), self.tapes.faults.pick(&MOODS));
            self.at(begin, Event::Mood(receiver, Some(mood)));
            self.at(end, Event::Mood(receiver, None));
        }
        for _ in 0..self.config.lost_parameters {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let lost = self.tapes.faults.pick(&[Parameter::Gone, Parameter::Damaged]);
            self.at(begin, Event::LoseParameter(lost));
        }
        for _ in 0..self.config.key_outages.0 {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let end = begin + self.tapes.faults.between(MINUTE, self.config.key_outages.1);
            self.at(begin, Event::KeysUnreadable(true));
            self.at(end, Event::KeysUnreadable(false));
        }
        if self.config.suppressed_hours > 0 && !self.config.is_kind {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            self.at(begin, Event::Suppress(true));
            self.at(begin + HOUR * self.config.suppressed_hours as i32, Event::Suppress(false));
        }
        if self.config.sandbox_hours > 0 {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            self.at(begin, Event::Sandbox(true));
            self.at(begin + HOUR * self.config.sandbox_hours as i32, Event::Sandbox(false));
        }
        for number in 0..self.config.pauses {
            let begin = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let end = begin + self.tapes.faults.between(MINUTE, HOUR * 30);
            for (time, task, name) in [(begin, Task::Pause, "pause"), (end.min(from + length), Task::Resume, "resume")]
            {
                let id = format!("{name}-{number}-{}", time.as_second());
                self.at(time, Event::Invoke(Request::new(id, task)));
            }
        }
        for number in 0..self.config.commands {
            let time = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let task = match self.tapes.faults.below(8) {
                6 | 7 => {
                    let since = time - HOUR * self.tapes.faults.pick(&[3, 24]);
                    Task::Backfill { since, until: time }
                }
                0 => Task::Command("outbox"),
                1 => Task::Command("dry-run"),
                2 => Task::Command("history"),
                3 => Task::Command("retry"),
                _ => Task::Erase { person: self.tapes.faults.below(leads::PEOPLE), after: None },
            };
            self.at(time, Event::Invoke(Request::new(format!("command-{number}-{}", time.as_second()), task)));
        }
        // Whatever became of the commands before: the notifier is not left paused.
        if self.config.pauses > 0 {
            let id = format!("resume-last-{}", from.as_second());
            let request = Request::new(id, Task::Resume);
            self.at(from + length + MINUTE, Event::Invoke(request));
        }
        // An alarm has told of what was given up.
        if self.config.moods.0 > 0 {
            let request = Request::new(format!("retry-last-{}", from.as_second()), Task::Command("retry"));
            self.at(from + length + MINUTE, Event::Invoke(request));
        }
        for (count, event) in [
            (self.config.route_changes, Event::ChangeRoutes),
            (self.config.setting_changes, Event::ChangeSettings),
            (self.config.key_rotations, Event::RotateKeys),
        ] {
            for _ in 0..count {
                let time = from + self.tapes.faults.between(SignedDuration::ZERO, length);
                self.at(time, event.clone());
            }
        }
        for number in 0..self.config.exports {
            let time = from + self.tapes.faults.between(SignedDuration::ZERO, length);
            let format = self.tapes.faults.pick(&FORMATS);
            let id = format!("export-{number}-{}", time.as_second());
            self.at(time, Event::Invoke(Request::new(id, Task::Export(Wanted::new(format)))));
        }
    }

    /// The scheduler's time has come: it may be late, send twice, or forget.
    pub(crate) fn tick(&mut self) {
        if self.config.is_kind && self.config.burst <= SMALL_BURST {
            self.check_delays(self.clock.now() - AT_ONCE.0 - self.config.interval * AT_ONCE.1);
        }
        if self.clock.now() + self.config.interval < self.ticks_until {
            self.after(self.config.interval, Event::Tick);
        }
        if self.is_idle() {
            return;
        }
        let (late, missed, doubled) = if self.is_stormy { self.config.ticks } else { (0.0, 0.0, 0.0) };
        let id = format!("tick-{}", self.clock.now().as_second());
        let request = Request::new(id, Task::Run);
        let faults = &mut self.tapes.faults;
        let drawn = if self.is_stormy { faults.which(&[late, missed, doubled]) } else { 0 };
        match drawn {
            1 => {
                let by = faults.between(SignedDuration::from_secs(1), MINUTE * 50);
                self.after(by, Event::Invoke(request));
            }
            2 => {
                self.coverage.note(Sometimes::MissedTick);
                self.say(|| "the scheduler misses a tick".to_owned());
            }
            3 => {
                let by = SignedDuration::from_secs(faults.pick(&[0, 0, 1, 60, 180]));
                self.coverage.note(Sometimes::DoubledTick);
                self.after(SignedDuration::ZERO, Event::Invoke(request.clone()));
                self.after(by, Event::Invoke(request));
            }
            _ => self.after(SignedDuration::ZERO, Event::Invoke(request)),
        }
    }

    /// Somebody writes leads, all of the same kind.
    pub(crate) fn arrive(&mut self) {
        let workload = &mut self.tapes.workload;
        let place = workload.below(1 + self.config.kinds.len() as u32 * 2) as usize;
        let kind = match place {
            0 => LeadKind::Plain,
            place => self.config.kinds.get(place - 1).copied().unwrap_or(LeadKind::Plain),
        };
        let count = 1 + workload.below(self.config.burst);
        let form = workload.below(leads::FORMS);
        for _ in 0..count {
            if kind.is_sent() {
                self.one_is_sent(kind);
            } else {
                self.one_arrives(kind, form);
            }
        }
    }

    fn one_arrives(&mut self, kind: LeadKind, form: u32) {
        let now = self.clock.now();
        let number = self.model.next();
        let is_poisoned = number == POISONED && self.config.permanent == Permanent::PoisonedText;
        let NewLead { entity, kind, offer, action, person, name, body } =
            leads::draw(&mut self.tapes.workload, (kind, form), number, now, is_poisoned);
        self.model.add(kind, offer, action, &self.routing);
        if let Some(name) = name {
            self.model.is_named(number, name);
        }
        if let Some(person) = person {
            self.model.is_of(number, person);
        }
        if let Some((before, at)) = &self.routing_before
            && now.duration_since(*at) < HOUR
        {
            self.model.allow_too(number, before);
        }
        if number == POISONED && self.config.permanent == Permanent::PoisonedKey {
            self.model.excuse(number, "the mail service refuses its key");
        }
        self.say(|| format!("lead {} ({kind:?}) comes, under {}", leads::marker(number), entity.partition_key));
        match kind {
            LeadKind::OddKey => {
                self.coverage.note(Sometimes::OddKey);
            }
            LeadKind::OldDay => self.coverage.note(Sometimes::OldDay),
            _ => {}
        }
        if let Some((received, body)) = body {
            if kind == LeadKind::QuarantinedUncued
                && let Err(unreadable) = Lead::from_json(body.as_bytes())
            {
                let row = Quarantined::new(body.as_bytes(), &unreadable.message, received).to_entity();
                self.state.put(row, now);
                return self.model.since(number, now);
            }
            // Intake put it onto the queue days ago.
            self.may_be_stored(number, body.as_bytes(), received);
            self.queue.put(QueuedBody::new(received, body.into_bytes()).to_json(), now);
            self.model.since(number, now);
            return self.expect_messages();
        }
        let late = self.tapes.workload.between(SignedDuration::ZERO, self.config.late);
        let written = self.leads.partition_now(&entity.partition_key);
        if !late.is_zero() {
            self.coverage.note(Sometimes::LateRow);
        }
        self.after(late, Event::Visible(Box::new(Row { lead: number, kind, entity, written })));
    }

    /// A row that was written before can be seen from now on.
    pub(crate) fn become_visible(&mut self, row: Row) {
        let Row { lead, kind, entity, written } = row;
        let (partition_key, row_key) = (entity.partition_key.clone(), entity.row_key.clone());
        if kind == LeadKind::HalfPair {
            self.coverage.note(Sometimes::DamagedRow);
            self.leads.put_with_half_a_pair(&entity, written);
        } else {
            self.leads.put(entity, written);
        }
        self.model.since(lead, self.clock.now());
        self.model.may_be_stored(lead, partition_key, row_key);
        self.say(|| format!("lead {} can be seen", leads::marker(lead)));
    }
}
