//! A walk through every fault at every request of runs that have everything to do.

use super::*;
use crate::mail::MailError;

/// One fault at one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// An error that may pass, before anything was done.
    ErrorBefore,
    /// The answer is lost after the service acted.
    ErrorAfter,
    /// An error that will not pass.
    RefusedBefore,
    /// The process dies before the request.
    KilledBefore,
    /// The process dies after the service acted.
    KilledAfter,
}

const FAULTS: [Fault; 5] =
    [Fault::ErrorBefore, Fault::ErrorAfter, Fault::RefusedBefore, Fault::KilledBefore, Fault::KilledAfter];

/// Lets requests pass until the one with the fault; after a kill nothing passes.
#[derive(Default)]
struct Gate {
    requests: usize,
    at: Option<(usize, Fault)>,
    dead: bool,
    /// Which requests were mails.
    mails: Vec<usize>,
}

impl Gate {
    /// Whether this request fails, and whether after the service acted.
    fn pass(&mut self, is_mail: bool) -> Option<(Fault, bool)> {
        let number = self.requests;
        self.requests += 1;
        if is_mail {
            self.mails.push(number);
        }
        if self.dead {
            return Some((Fault::KilledBefore, false));
        }
        let (_, fault) = self.at.filter(|(at, _)| *at == number)?;
        self.dead = matches!(fault, Fault::KilledBefore | Fault::KilledAfter);
        Some((fault, matches!(fault, Fault::ErrorAfter | Fault::KilledAfter)))
    }
}

/// One run with a fault. Ends what cannot go on: a process that was killed answers to nobody.
async fn run_with_gate(world: &World, gate: &Arc<Mutex<Gate>>) {
    let table_fault = |gate: Arc<Mutex<Gate>>| -> crate::table::memory::Fault {
        Box::new(move |_| {
            let (fault, after) = gate.lock().unwrap().pass(false)?;
            let error = match fault {
                Fault::RefusedBefore => TableError::Refused { status: 403, code: "AuthenticationFailed".to_owned() },
                _ => TableError::Unavailable { reason: "test".to_owned() },
            };
            Some(if after { FaultKind::After(error) } else { FaultKind::Before(error) })
        })
    };
    world.leads.set_fault(Some(table_fault(gate.clone())));
    world.state.set_fault(Some(table_fault(gate.clone())));
    let mail_gate = gate.clone();
    // The content of one lead is refused, whatever else happens.
    world.mailer.set_refused_content(Some(Box::new(|mail| mail.text.contains("Poison"))));
    world.mailer.set_fault(Some(Box::new(move |_| {
        let (fault, after) = mail_gate.lock().unwrap().pass(true)?;
        let error = match fault {
            Fault::RefusedBefore => MailError::Destination { code: "test".to_owned(), cure: "test".to_owned() },
            _ => MailError::Unavailable { code: "test".to_owned(), may_be_accepted: true },
        };
        Some(if after { SendFault::After(error) } else { SendFault::Before(error) })
    })));
    let _ = world.notifier().run(&world.run_id(), world.deadline()).await;
    world.end_faults();
}

/// Walks through every fault at every request of the first run in a world. Gives how many faults there were, and how
/// many leads were repeated.
async fn walk(world: impl AsyncFn() -> World, leads: &[&str], least: usize) -> (usize, usize) {
    let (mut scenarios, mut repeats) = (0, 0);
    for fault in FAULTS {
        for at in 0.. {
            let world = world().await;
            let marked_before = world.mailer.accepted().len();
            let gate = Arc::new(Mutex::new(Gate { at: Some((at, fault)), ..Gate::default() }));
            run_with_gate(&world, &gate).await;
            let (requests, mails) = {
                let gate = gate.lock().unwrap();
                (gate.requests, gate.mails.clone())
            };
            if requests <= at {
                assert!(at > least, "a run of {at} requests walks through nothing");
                break;
            }
            scenarios += 1;
            // Somebody looks an hour later, and once more: then nothing is left to do.
            world.advance(HOUR);
            world.run().await;
            world.advance(HOUR);
            let record = world.run().await;
            assert_eq!((record.error.as_ref(), record.owed), (None, 0), "{fault:?} at {at}: {record:?}");
            world.advance(MINUTE);
            let record = world.run().await;
            assert_eq!((record.error.as_ref(), record.mails), (None, 0), "{fault:?} at {at}");
            assert_eq!(world.owed().await, 0, "{fault:?} at {at}");
            let accepted = world.mailer.accepted();
            for name in leads {
                // Each destination by itself: a lead of two routes is in two mails.
                let mut by_destination: BTreeMap<&[String], Vec<&Message>> = BTreeMap::new();
                for mail in accepted.iter().filter(|mail| mail.text.contains(name)) {
                    by_destination.entry(&mail.to).or_default().push(mail);
                }
                let is_parked = world.state.rows().iter().any(|row| {
                    row.row_key.starts_with("parked-") && row.string("Keys").is_some_and(|keys| keys.contains(name))
                });
                let wanted = if *name == "Both" { 2 } else { 1 };
                assert!(by_destination.len() == wanted || is_parked, "{name} is in no mail: {fault:?} at {at}");
                for with in by_destination.values() {
                    for mail in &with[1..] {
                        assert!(mail.text.contains(REPEAT), "{name} came again unmarked: {fault:?} at {at}");
                    }
                    repeats += with.len() - 1;
                    // Accepted and not yet noted is the one window for repeats: from the mail, with those beside it, to
                    // the write that notes it.
                    let in_window = mails.iter().any(|mail| (*mail..*mail + 4).contains(&at)) || marked_before > 0;
                    assert!(with.len() == 1 || in_window, "{name} came again outside the window: {fault:?} at {at}");
                }
            }
        }
    }
    println!("{scenarios} faults survived, {repeats} leads repeated and marked");
    (scenarios, repeats)
}

const EVENTFUL: [&str; 14] = [
    "Zero", "Number1x", "Number2x", "Number3x", "Number4x", "Number5x", "Number6x", "Number7x", "Number8x", "Number9x",
    "Both", "Cued", "Poison", "Large",
];

/// A world in which a run has everything to do: a digest that waits, several pages and routes, cues, quarantine, a lead
/// whose mail is refused, large texts, a patrol, a partition that is no day, silence, deletions.
async fn eventful_world() -> World {
    let routes = json!([{"name": "vm", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]},
        {"actions": ["PLT"], "to": ["contact@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string()).with("LEADS_DIGEST_SIZE", "3");
    let world = world.with_tables(MemoryTable::new().with_page_size(4), MemoryTable::new().with_page_size(9));
    world.run().await;
    world.arrive(&["Zero"]).await;
    world.advance(MINUTE);
    world.mailer.fail_next(1, &SendFault::destination());
    world.run().await;
    world.advance(HOUR * 25);
    let today = world.today();
    for number in 1..8 {
        let source = if number % 3 == 0 { "SPZA-INS|contoso.vm" } else { BACKUP };
        world.arrive_under(&today, &format!("Number{number}x"), source).await;
    }
    let both = microsoft_row(&today, "Both", "SPZA-PLT|contoso.vm").with("ActionCode", "PLT");
    world.leads.put(both);
    world.arrive_under(&today, "Poison", BACKUP).await;
    let mut large = microsoft_row(&today, "Large", BACKUP);
    large.set_text("Description", &"\u{ad}x".repeat(17_000));
    world.leads.put(large);
    world.arrive_under("another", "Number8x", BACKUP).await;
    world.quarantine(b"Number9x").await;
    let cued = crate::cue::Cued::Lead(Keys::new("10:2F1:2F2026", "row-Cued"));
    crate::cue::leave(&world.state, &cued, 9).await.unwrap();
    world.arrive_under("10:2F1:2F2026", "Cued", BACKUP).await;
    world.advance(MINUTE);
    world
}

#[tokio::test]
async fn whatever_fails_at_whichever_request_every_lead_is_mailed_and_repeats_are_marked() {
    let (_, repeats) = walk(eventful_world, &EVENTFUL, 60).await;
    assert!(repeats > 0, "the window was not walked through");
}

#[tokio::test]
async fn whatever_fails_while_the_state_of_the_version_before_is_moved_over_nothing_is_lost() {
    let world = async || {
        let world = super::moving::recorded_world();
        world.advance(MINUTE);
        world
    };
    walk(world, &["Wait1", "Wait3", "Wait4", "{not json"], 12).await;
}

#[tokio::test]
async fn whatever_fails_in_the_very_first_run_every_lead_is_mailed_and_repeats_are_marked() {
    let world = async || {
        // A lead that came before a first run wrote anything down is promised only as far as that.
        let world = World::new().with("LEADS_FIRST_LOOKBACK_MINUTES", "1440");
        let world = world.with_tables(MemoryTable::new(), MemoryTable::missing());
        world.arrive(&["Ada", "Grace"]).await;
        world.advance(MINUTE * 49);
        world
    };
    walk(world, &["Ada", "Grace"], 6).await;
}
