//! What `tests/fuzz` asks of every input, on a bounded number of inputs that are mutated from the seeds: the same ones in
//! every run, with any compiler.

#[path = "../../tests/fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library for the targets, a module here")]
mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Hands the seeds, and `count` mutations of them, to a check.
fn inputs(seeds: &str, count: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(seeds);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| !["README.md", ".gitattributes"].iter().any(|name| file.ends_with(name)));
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(seeds.len() > 5, "the seeds are missing");
    let mut random = Random(seeds.len() as u64);
    for number in 0..seeds.len() + count {
        let input = if number < seeds.len() { seeds[number].clone() } else { random.mutated(&seeds) };
        if catch_unwind(|| check(&input)).is_err() {
            panic!("input {number}, of {} bytes: {}", input.len(), input.escape_ascii());
        }
    }
    println!("{} seeds and {count} mutations", seeds.len());
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, or 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A seed with one to eight changes. Long ones are cut, so that many can be tried.
    fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        input.truncate(4_000);
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            let length = self.below(12).min(input.len() - at);
            match self.below(7) {
                0 if length > 0 => input[at] ^= 1 << self.below(8),
                1 => input.insert(at, self.next() as u8),
                2 => drop(input.drain(at..at + length)),
                3 => input.extend_from_within(at..at + length),
                4 => input.truncate(at),
                5 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    let part = &other[from..(from + 40).min(other.len())];
                    drop(input.splice(at..at + length, part.iter().copied()));
                }
                _ => drop(input.splice(at..at + length, self.pick(FRAGMENTS).bytes())),
            }
        }
        input
    }
}

/// What changes the meaning of what stands around.
const FRAGMENTS: &[&str] = &[
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\u202e",
    "{",
    "}",
    "[[[[",
    "]",
    ",",
    ":",
    ";",
    "=",
    "|",
    "-",
    "'",
    "null",
    "true",
    "1e400",
    "-0",
    "99999999999999999999",
    "\r\n",
    "\u{feff}",
    "\u{202e}",
    "\u{0}",
    "\u{1b}[31m",
    "<script>",
    "</td>",
    "&amp;",
    "=1+1",
    "@A1",
    "\"Email\":\"",
    "\"UserDetails\":{",
    "\"LeadSource\":\"",
    "MSFT_TEST_",
    "AccountKey=",
    "https://",
    "sig=",
    "\"command\":",
    "\"until\":\"9999-12-31\"",
];

#[test]
fn any_lead_body_is_read_stored_and_mailed_without_harm() {
    inputs("leads", 5_000, fuzz::lead_body);
}

#[test]
fn any_customer_info_is_read_and_mailed_without_harm() {
    inputs("fuzz/customer_info", 5_000, fuzz::customer_info);
}

#[test]
fn any_lead_source_is_taken_apart() {
    inputs("fuzz/lead_source", 100_000, fuzz::lead_source);
}

#[test]
fn any_connection_string_is_read_or_refused_without_a_word_of_it() {
    inputs("fuzz/connection_string", 4_000, fuzz::connection_string);
}

#[test]
fn any_notifier_event_is_a_command_or_an_error_without_a_word_of_it() {
    inputs("fuzz/notifier_event", 100_000, fuzz::notifier_event);
}

#[test]
fn any_list_of_leads_is_read_or_refused_without_a_word_of_it() {
    inputs("fuzz/reconcile_list", 20_000, fuzz::reconcile_list);
}
