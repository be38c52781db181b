//! The rooms of the library and the functions hold to the picture in `docs/architecture.md`: arrows go down, never in a
//! circle; crates of vendors are named in their rooms alone; no file is longer than a person reads at once.

mod rules;
mod source;

use rules::{FUNCTIONS, LONGER_FILES, MOST_LINES};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A source file: its path from the workspace's root, and its text.
type File = (String, String);

/// An arrow from one room to another, with a file that draws it.
type Arrows = BTreeMap<(String, String), String>;

/// The room that a path within the library is in; nothing where it is the library's root.
fn room(segments: &[String]) -> Option<String> {
    let first = segments.first()?;
    let is_ses = first == "mail" && segments.get(1).is_some_and(|second| second.starts_with("ses"));
    Some(if is_ses { "mail::ses".to_owned() } else { first.clone() })
}

/// Files that may be too long, each with the reason.
type Longer<'a> = &'a [(&'a str, &'a str)];

/// Everything in which these files do not hold to the rules, each with the file's name.
fn violations(files: &[File], longer: Longer<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut arrows = Arrows::new();
    let is_module = |name: &str| {
        let is_of = |(file, _): &File| {
            file.starts_with("shared/src/") && source::module(file).first().is_some_and(|first| first == name)
        };
        files.iter().any(is_of)
    };
    for (file, text) in files {
        let from =
            if file.starts_with("functions/") { Some(FUNCTIONS.to_owned()) } else { room(&source::module(file)) };
        // The library's root only says which rooms there are.
        let Some(from) = from else { continue };
        if !rules::is_room(&from) {
            violations.push(format!("{file}: the room {from} has no place in the order"));
            continue;
        }
        for path in source::paths(file, text) {
            let first = path[0].as_str();
            let in_library = match (first, from.as_str()) {
                ("marketplace_leads", _) => true,
                ("crate", from) => from != FUNCTIONS,
                _ => false,
            };
            // Of other paths the first segment is a crate, or a name that was brought in by another path.
            match rules::rooms_of(first) {
                _ if in_library => {
                    let to = room(&path[1..]).filter(|to| *to != from && is_module(&path[1]));
                    if let Some(to) = to {
                        arrows.entry((from.clone(), to)).or_insert_with(|| file.clone());
                    }
                }
                Some(rooms) if !rooms.contains(&from.as_str()) => {
                    violations.push(format!("{file}: {first} is named in {from}, and belongs in {}", rooms.join(", ")));
                }
                _ => {}
            }
        }
        let (lines, is_listed) = (source::lines(text), longer.iter().any(|(listed, _)| listed == file));
        if lines > MOST_LINES && !is_listed {
            violations.push(format!("{file}: {lines} lines without its tests, more than {MOST_LINES}"));
        } else if lines <= MOST_LINES && is_listed {
            violations.push(format!("{file}: {lines} lines: it needs no exception any more"));
        }
    }
    for ((from, to), file) in &arrows {
        if !rules::may_use(from, to) {
            violations.push(format!("{file}: {from} → {to} is against the order"));
        }
    }
    violations.extend(circle(&arrows));
    violations.sort();
    violations.dedup();
    violations
}

/// A circle of arrows, if there is one, with a file that closes it.
fn circle(arrows: &Arrows) -> Option<String> {
    let next = |from: &str| -> Vec<String> {
        arrows.keys().filter(|(start, _)| start == from).map(|(_, to)| to.clone()).collect()
    };
    // What cannot be part of a circle is taken away until nothing more can be.
    let mut rooms: BTreeSet<String> = arrows.keys().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
    loop {
        let before = rooms.len();
        let known = rooms.clone();
        rooms.retain(|room| next(room).iter().any(|to| known.contains(to)));
        if rooms.len() == before {
            break;
        }
    }
    let mut circle = vec![rooms.first()?.clone()];
    loop {
        let last = circle.last()?;
        let to = next(last).into_iter().find(|to| rooms.contains(to))?;
        if let Some(at) = circle.iter().position(|room| *room == to) {
            let file = &arrows[&(last.clone(), to.clone())];
            let rooms = [&circle[at..], &[to]].concat();
            return Some(format!("{file}: a circle: {}", rooms.join(" → ")));
        }
        circle.push(to);
    }
}

/// The source files below a folder, without those that are built for tests only.
fn read(root: &Path, folder: &Path, files: &mut Vec<File>) {
    let mut here: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    here.sort();
    let texts: Vec<_> = here.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let tests: BTreeSet<_> = texts.iter().flat_map(|text| source::test_modules(text)).collect();
    for path in here {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap().to_owned();
        if tests.contains(&name) {
            continue;
        }
        if path.is_dir() {
            read(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.push((file, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every source file of the library and of the functions.
fn workspace() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut files = Vec::new();
    read(&root, &root.join("shared/src"), &mut files);
    for function in fs::read_dir(root.join("functions")).unwrap() {
        read(&root, &function.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 60, "{} files", files.len());
    files
}

#[test]
fn the_rooms_hold_to_the_order() {
    let violations = violations(&workspace(), LONGER_FILES);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_room_of_the_order_is_there_and_in_the_documentation() {
    let files = workspace();
    let rooms: BTreeSet<_> = files
        .iter()
        .filter(|(file, _)| file.starts_with("shared/src/"))
        .filter_map(|(file, _)| room(&source::module(file)))
        .collect();
    let known: BTreeSet<_> = rules::rooms().map(str::to_owned).collect();
    assert_eq!(rooms, known);
    let (_, documented) = include_str!("../../../docs/architecture.md").split_once("\n## Rooms\n").unwrap();
    let documented = documented.split("\n## ").next().unwrap();
    for room in rooms {
        let name = room.replace("::", "/");
        assert!(documented.contains(&format!("`{name}`")), "docs/architecture.md does not say what {name} is");
    }
}

#[test]
fn every_exception_names_a_file() {
    let files = workspace();
    for (file, reason) in LONGER_FILES {
        assert!(files.iter().any(|(known, _)| known == file), "{file}");
        assert!(!reason.is_empty(), "{file}");
    }
}

mod checker {
    //! The checker finds each kind of fault in small sources that were made for it.

    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        found_but_for(files, &[])
    }

    fn found_but_for(files: &[(&str, &str)], longer: Longer<'_>) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        violations(&files, longer)
    }

    #[test]
    fn arrows_that_go_down_are_right() {
        let files = [
            ("shared/src/lib.rs", "pub mod secret; pub mod table; pub mod notify; pub mod validate;"),
            ("shared/src/secret.rs", "pub struct Secret;"),
            ("shared/src/table/mod.rs", "use crate::secret::Secret; use azure_core::Url; mod rows; use rows::Row;"),
            ("shared/src/table/rows.rs", "use super::super::secret::Secret; pub struct Row;"),
            ("shared/src/notify/mod.rs", "use crate::{secret::Secret, table::Row};"),
            ("shared/src/validate/mod.rs", "fn check() { crate::notify::run(); reqwest::get(); }"),
            ("functions/lead-notifier/src/main.rs", "use marketplace_leads::notify::run; use lambda_runtime::Error;"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_against_the_order_is_found_however_it_is_written() {
        let intake = ("shared/src/intake/mod.rs", "pub struct Intake;");
        for source in [
            "use crate::intake::Intake;",
            "use crate::{secret, intake::{self, Intake}};",
            "use super::intake::Intake;",
            "pub use crate::intake as other;",
            "fn answer() -> crate::intake::Intake { todo() }",
            "fn answer() { println!(\"{}\", crate::intake::Intake); }",
            "group! { intake: crate::intake::Intake = read(), }",
            "fn answer() { use crate::intake::*; }",
        ] {
            let wrong = found(&[intake, ("shared/src/table.rs", source)]);
            assert_eq!(wrong, ["shared/src/table.rs: table → intake is against the order"], "{source}");
        }
        let settings = ("shared/src/settings/groups.rs", "use crate::notify::Notifier;");
        let wrong = found(&[("shared/src/notify/mod.rs", "pub struct Notifier;"), settings]);
        assert_eq!(wrong, ["shared/src/settings/groups.rs: settings → notify is against the order"]);
        let redelivery = ("shared/src/redelivery.rs", "use crate::intake::Intake;");
        assert_eq!(
            found(&[intake, redelivery]),
            ["shared/src/redelivery.rs: redelivery → intake is against the order"]
        );
    }

    #[test]
    fn what_only_tests_and_comments_name_is_no_arrow() {
        let table = "/// See [`crate::intake::Intake`].\nfn read() { say(\"crate::intake\"); }\n\
                     #[cfg(test)]\nmod tests {\n    use crate::intake::Intake;\n    use reqwest::Client;\n}\n";
        let files = [("shared/src/intake/mod.rs", "pub struct Intake;"), ("shared/src/table.rs", table)];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_found() {
        let files = [
            ("shared/src/address.rs", "use crate::display::line;"),
            ("shared/src/display.rs", "use crate::secret::Secret;"),
            ("shared/src/secret.rs", "use crate::address::MailAddress;"),
            ("shared/src/function.rs", "use crate::address::MailAddress;"),
        ];
        let wrong = found(&files);
        assert_eq!(wrong, ["shared/src/secret.rs: a circle: address → display → secret → address"]);
    }

    #[test]
    fn a_vendors_crate_outside_its_room_is_found() {
        for (file, source, wrong) in [
            (
                "shared/src/intake/mod.rs",
                "use azure_data_tables::TableClient;",
                "azure_data_tables is named in intake, and belongs in table",
            ),
            (
                "shared/src/aws/mod.rs",
                "fn send() { aws_sdk_sesv2::Client::new(); }",
                "aws_sdk_sesv2 is named in aws, and belongs in mail::ses",
            ),
            (
                "shared/src/mail/render.rs",
                "use aws_sdk_ssm::Client;",
                "aws_sdk_ssm is named in mail, and belongs in aws",
            ),
            (
                "shared/src/export/mod.rs",
                "use lambda_http::Error;",
                "lambda_http is named in export, and belongs in functions",
            ),
            (
                "functions/lead-export/src/main.rs",
                "fn get() { reqwest::get(); }",
                "reqwest is named in functions, and belongs in aws, destinations, table, validate",
            ),
        ] {
            assert_eq!(found(&[(file, source)]), [format!("{file}: {wrong}")]);
        }
        let right = ("shared/src/mail/ses/send.rs", "use aws_sdk_sesv2::Client; use crate::aws::error_code;");
        assert_eq!(found(&[right, ("shared/src/aws/mod.rs", "")]), Vec::<String>::new());
    }

    #[test]
    fn a_room_without_a_place_in_the_order_is_found() {
        let wrong = found(&[("shared/src/utils.rs", "pub fn help() {}")]);
        assert_eq!(wrong, ["shared/src/utils.rs: the room utils has no place in the order"]);
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_an_exception_that_is_not_needed() {
        let lines = |count: usize| "fn one() {}\n".repeat(count);
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(MOST_LINES), lines(MOST_LINES));
        assert_eq!(found(&[("shared/src/secret.rs", &tests)]), Vec::<String>::new());
        let wrong = found(&[("shared/src/secret.rs", &lines(MOST_LINES + 1))]);
        assert_eq!(wrong, ["shared/src/secret.rs: 401 lines without its tests, more than 400"]);
        let longer: Longer<'_> = &[("shared/src/secret.rs", "a reason")];
        assert_eq!(found_but_for(&[("shared/src/secret.rs", &lines(401))], longer), Vec::<String>::new());
        let wrong = found_but_for(&[("shared/src/secret.rs", &lines(400))], longer);
        assert_eq!(wrong, ["shared/src/secret.rs: 400 lines: it needs no exception any more"]);
    }
}
