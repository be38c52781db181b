//! The rules: which rooms there are, which of them may use which, and where the crates of vendors may be named.

/// What any other room may use.
const GROUND: &[&str] = &[
    "address",
    "bug",
    "cadence",
    "clock",
    "display",
    "function",
    "function_url",
    "intake_keys",
    "queued_body",
    "secret",
    "telemetry",
];

/// Every room above the ground, from the lowest, with the rooms below that it may use beside the ground. A room is a
/// module of the library's root. `mail::ses` is one of its own, because it is an adapter and the rest of `mail` is not.
const ROOMS: &[(&str, &[&str])] = &[
    ("aws", &[]),
    ("table", &[]),
    ("cue", &["table"]),
    ("lead", &["table"]),
    ("quarantine", &["cue", "lead", "table"]),
    ("columns", &["lead", "table"]),
    ("mail", &["columns", "lead", "quarantine", "table"]),
    ("mail::ses", &["aws", "mail"]),
    ("destinations", &["aws", "lead", "mail", "table"]),
    ("settings", &["mail", "table"]),
    ("export", BELOW_USE_CASES),
    ("intake", BELOW_USE_CASES),
    ("notify", BELOW_USE_CASES),
    ("redelivery", BELOW_USE_CASES),
    // Validation asks what the notifier would do; all other use cases know nothing of each other.
    (
        "validate",
        &["aws", "columns", "destinations", "lead", "mail", "mail::ses", "notify", "quarantine", "settings", "table"],
    ),
];

const BELOW_USE_CASES: &[&str] =
    &["aws", "columns", "cue", "destinations", "lead", "mail", "mail::ses", "quarantine", "settings", "table"];

/// The name of the functions' crates, which may use every room.
pub(crate) const FUNCTIONS: &str = "functions";

/// Crates that are named in some rooms only; what ends in `*` is the beginning of several crates' names.
const VENDORS: &[(&str, &[&str])] = &[
    ("azure_*", &["table"]),
    ("aws_sdk_sesv2", &["mail::ses"]),
    ("aws_*", &["aws"]),
    // The SQS event that redelivery is invoked with.
    ("aws_lambda_events", &[FUNCTIONS]),
    ("lambda_*", &[FUNCTIONS]),
    // Validation posts to intake, and fetches Partner Center's export from S3, as their callers do.
    ("reqwest", &["aws", "destinations", "table", "validate"]),
];

/// The most lines of a file without its tests.
pub(crate) const MOST_LINES: usize = 400;

/// Files that are longer, each with the reason. One that is no longer too long must leave this list.
pub(crate) const LONGER_FILES: &[(&str, &str)] = &[];

/// Every room of the library.
pub(crate) fn rooms() -> impl Iterator<Item = &'static str> {
    GROUND.iter().copied().chain(ROOMS.iter().map(|(room, _)| *room))
}

/// Whether a room is known.
pub(crate) fn is_room(room: &str) -> bool {
    room == FUNCTIONS || rooms().any(|known| known == room)
}

/// Whether one room may use another. Rooms of the ground may use each other, if there is no circle.
pub(crate) fn may_use(from: &str, to: &str) -> bool {
    let below = ROOMS.iter().find(|(room, _)| *room == from).map(|(_, below)| *below);
    from == to || from == FUNCTIONS || GROUND.contains(&to) || below.is_some_and(|below| below.contains(&to))
}

/// The rooms in which a crate may be named; `None` where it may be named anywhere.
pub(crate) fn rooms_of(crate_name: &str) -> Option<&'static [&'static str]> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => crate_name.starts_with(start),
        None => crate_name == pattern,
    };
    // Where several match, the longest pattern counts.
    let found = VENDORS.iter().filter(|(pattern, _)| matches(pattern)).max_by_key(|(pattern, _)| pattern.len());
    found.map(|(_, rooms)| *rooms)
}
