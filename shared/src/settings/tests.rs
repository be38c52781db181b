use super::*;
use crate::address::{DestinationName, MailAddress, texts};
use crate::cadence::{Cadence, Window};
use crate::function::Function;
use crate::mail::{Language, Replies};
use crate::secret::{Secret, SecretSource};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

const CONNECTION: &str = "DefaultEndpointsProtocol=https;AccountName=contosoleads;AccountKey=c2VjcmV0LWtleQ==";
const KEY: &str = "0123456789abcdef";

/// Settings with which every function starts.
fn right() -> Vec<(String, String)> {
    pairs(&[
        ("LEADS_STORAGE_CONNECTION_STRING", CONNECTION),
        ("LEADS_INTAKE_KEYS", KEY),
        ("LEADS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/leads"),
        ("LEADS_MAIL_FROM", "Marketplace leads <leads@contoso.com>"),
        ("LEADS_MAIL_TO", "sales@contoso.com; Sales@Contoso.com;boss@contoso.com;"),
    ])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The right settings with others in place of some.
fn with(changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: BTreeMap<_, _> = right().into_iter().collect();
    all.extend(pairs(changed));
    all.into_iter().collect()
}

fn notifier(changed: &[(&str, &str)]) -> NotifierSettings {
    NotifierSettings::from_pairs(with(changed)).unwrap()
}

#[test]
fn defaults_are_those_of_the_table_of_settings() {
    let settings = notifier(&[]);
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let days = |count: u64| minutes(count * 24 * 60);
    let Storage { table, state_table, .. } = settings.storage;
    assert_eq!((table.as_str(), state_table.as_str()), ("MarketplaceLeads", "MarketplaceLeadsState"));
    let mail = settings.mail;
    assert_eq!(mail.from.header(), "Marketplace leads <leads@contoso.com>");
    assert_eq!(texts(&mail.to), ["sales@contoso.com", "boss@contoso.com"]);
    assert_eq!((mail.configuration_set, mail.language.code()), (None, "en"));
    assert_eq!(mail.time_zone, TimeZone::UTC);
    assert!(mail.routes.is_empty());
    assert_eq!((mail.replies, mail.crm_search), (Replies::Customer, None));
    assert_eq!((mail.test_leads, mail.do_not_contact), (MailOrDrop::Mail, MailOrDrop::Mail));
    assert_eq!(settings.digest_size, 100);
    let schedule = settings.schedule;
    assert_eq!((schedule.interval, schedule.overlap, schedule.first_lookback), (minutes(1), minutes(10), minutes(60)));
    assert_eq!((mail.cadence, mail.routes_parameter), (Cadence::EveryMinutes(60), None));
    let urgent: Vec<_> = mail.urgent.iter().map(|action| (action.code.as_str(), action.needs_note)).collect();
    assert_eq!(urgent, [("PLT", false), ("Create", false), ("INS", true)]);
    assert_eq!((schedule.sweep, schedule.silence), (Some(days(1)), Some(days(7))));
    assert_eq!((settings.contact_window, settings.retention), (days(180), days(90)));
    let intake = IntakeSettings::from_pairs(right()).unwrap();
    assert_eq!(intake.budget, Duration::from_secs(5));
    assert!(RedeliverySettings::from_pairs(right()).is_ok() && ExportSettings::from_pairs(right()).is_ok());
    assert_eq!(ValidationSettings::from_pairs(right()).problems, []);
}

#[test]
fn an_empty_variable_counts_as_not_set_and_zero_switches_off() {
    let settings = notifier(&[
        ("LEADS_TABLE", ""),
        ("LEADS_MAIL_CONFIGURATION_SET", " "),
        ("LEADS_SWEEP_HOURS", "0"),
        ("LEADS_SILENCE_DAYS", "0"),
        ("LEADS_INTERVAL_MINUTES", "15"),
    ]);
    assert_eq!((settings.storage.table.as_str(), settings.mail.configuration_set), ("MarketplaceLeads", None));
    assert_eq!((settings.schedule.sweep, settings.schedule.silence), (None, None));
    assert_eq!(settings.schedule.interval, Duration::from_secs(15 * 60));
    assert_eq!(notifier(&[("LEADS_URGENT_ACTIONS", "None")]).mail.urgent, []);
}

#[test]
fn routes_that_cannot_be_told_apart_are_refused() {
    let route = |name: &str, offer: &str| format!(r#"{{{name}"offers":["{offer}"],"to":["a@contoso.com"]}}"#);
    let named = |name: &str| format!(r#""name":"{name}","#);
    for (routes, wrong) in [
        (vec![route(&named("sales"), "a"), route(&named("Sales"), "b")], "route 2 has the name of route 1"),
        (vec![route(r#""id":"a","#, "a"), route(r#""id":"a","#, "b")], "route 2 has the id of route 1"),
        (
            vec![route(&named("Route 2"), "a"), route("", "b")],
            "route 1 has a name that stands for the place of route 2",
        ),
        (
            vec![route("", "a"), route("", "b"), route("", "A")],
            "route 3 has no name and the offers and actions of route 1",
        ),
        (
            (0..24)
                .map(|number| format!(r#"{{"id":"r{number}","to":["a@contoso.com","b@contoso.com","crm"]}}"#))
                .collect(),
            "48 destinations in all routes together, and 47 at most",
        ),
        (
            (0..48).map(|number| route("", &number.to_string())).collect(),
            "48 destinations in all routes together, and 47 at most",
        ),
    ] {
        let error = NotifierSettings::from_pairs(with(&[("LEADS_ROUTES", &format!("[{}]", routes.join(",")))]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(wrong), "{error}");
    }
    let ids = format!("[{},{}]", route(r#""id":"a","#, "a"), route(r#""id":"b","#, "a"));
    assert_eq!(notifier(&[("LEADS_ROUTES", &ids)]).mail.routes.len(), 2);
}

#[test]
fn routes_are_read() {
    let json = r#"[{"name":"VM team","offers":["Contoso VM"," contoso.vm "],"actions":["PLT"],"to":["vm@contoso.com","VM@contoso.com"]},
                   {"to":["all@contoso.com"]}]"#;
    let route = |id: &str, name: Option<&str>, offers: &[&str], actions: &[&str], to: &str| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let to = vec![MailAddress::parse(to).unwrap()];
        Route {
            summary: None,
            id: id.to_owned(),
            name: name.map(str::to_owned),
            offers: owned(offers),
            actions: owned(actions),
            to,
            destinations: Vec::new(),
            cadence: None,
            window: None,
            zone: None,
            urgent_at_once: true,
            do_not_contact: MailOrDrop::Mail,
        }
    };
    let expected = [
        route("name vm team", Some("VM team"), &["Contoso VM", "contoso.vm"], &["PLT"], "vm@contoso.com"),
        route("filter 643d5437104296e2", None, &[], &[], "all@contoso.com"),
    ];
    assert_eq!(notifier(&[("LEADS_ROUTES", json)]).mail.routes, expected);
}

#[test]
fn a_route_has_an_id_destinations_and_times_of_its_own() {
    let json = r#"[{"id":"sales-1","name":"Sales","to":["a@contoso.com","crm","teams-1","crm"],"cadence":"daily at 08:30 on mon-fri",
                    "window":"08:00-18:00","zone":"Europe/Berlin","urgentAtOnce":false,"doNotContact":"drop"}]"#;
    let routes = notifier(&[("LEADS_ROUTES", json)]).mail.routes;
    let [route] = routes.as_slice() else { panic!("one route") };
    assert_eq!((route.id.as_str(), texts(&route.to)), ("sales-1", vec!["a@contoso.com".to_owned()]));
    assert_eq!(route.destinations.iter().map(DestinationName::as_str).collect::<Vec<_>>(), ["crm", "teams-1"]);
    assert_eq!(route.cadence, Cadence::parse("daily at 08:30 on mon-fri").ok());
    assert_eq!(route.window, Window::parse("08:00-18:00").ok());
    assert_eq!(route.zone, TimeZone::get("Europe/Berlin").ok());
    assert_eq!((route.urgent_at_once, route.do_not_contact), (false, MailOrDrop::Drop));
    assert!(route.answers_to("sales-1") && route.answers_to("name sales") && !route.answers_to("default"));
}

#[test]
fn a_wrong_value_is_named_with_what_is_wrong_and_what_is_expected() {
    for (name, value, wrong) in [
        ("LEADS_STORAGE_CONNECTION_STRING", "AccountName=x;AccountKey", "part 2 has no `=`"),
        ("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", "/leads/storage", "are both set"),
        ("LEADS_TABLE", "Marketplace-Leads", "other characters"),
        ("LEADS_TABLE", "1Leads", "begin with a letter"),
        ("LEADS_TABLE", "Le", "has 2 characters"),
        ("LEADS_TABLE", "Tables", "keeps for itself"),
        ("LEADS_STATE_TABLE", "marketplaceleads", "same table as LEADS_TABLE"),
        ("LEADS_MAIL_FROM", "Leads", "is not a mail address"),
        ("LEADS_MAIL_FROM", "Leads\r\nBcc: x <leads@contoso.com>", "is not a mail address"),
        ("LEADS_MAIL_FROM", "leads@contoso", "is not a mail address"),
        ("LEADS_MAIL_TO", "sales@contoso.com;boss", "no mail address at place 2"),
        ("LEADS_MAIL_TO", "sales@contoso.com,boss@contoso.com", "no mail address at place 1"),
        ("LEADS_MAIL_TO", " ; ", "has no mail address"),
        ("LEADS_MAIL_TO", "a..b@x.example", "no mail address at place 1"),
        ("LEADS_MAIL_TO", ".a@x.example", "no mail address at place 1"),
        ("LEADS_MAIL_TO", "boss@contoso.com;a@-x.example", "no mail address at place 2"),
        ("LEADS_MAIL_FROM", "Leads <a.@x.example>", "is not a mail address"),
        ("LEADS_MAIL_TO", "vertriebsbüro@contoso.com", "no mail address at place 1"),
        ("LEADS_MAIL_CONFIGURATION_SET", "my set", "no name of a configuration set"),
        ("LEADS_MAIL_LANGUAGE", "de", "none of the languages"),
        ("LEADS_TIME_ZONE", "Europe/Berln", "not in the time zone database"),
        ("LEADS_ROUTES", "[", "is not JSON (line 1, column 1)"),
        ("LEADS_ROUTES", "{}", "not an array"),
        ("LEADS_ROUTES", "[1]", "route 1 is not an object"),
        (
            "LEADS_ROUTES",
            r#"[{"to":["a@b.c"]},{"offer":["x"],"to":["a@b.c"]}]"#,
            r#"route 2 has an unknown field "offer""#,
        ),
        ("LEADS_ROUTES", r#"[{"offers":["x"]}]"#, r#"route 1 has no mail address and no destination in "to""#),
        ("LEADS_ROUTES", r#"[{"to":["a@b.c","X"]}]"#, "route 1 has no mail address at place 2"),
        ("LEADS_ROUTES", r#"[{"to":"a@b.c"}]"#, "route 1 has something else in \"to\" than an array"),
        ("LEADS_ROUTES", r#"[{"offers":[""],"to":["a@b.c"]}]"#, "not empty"),
        ("LEADS_ROUTES", r#"[{"name":1,"to":["a@b.c"]}]"#, "a name that is not a text"),
        ("LEADS_ROUTES", r#"[{"actions":["dnc"],"doNotContact":"drop","to":["a@b.c"]}]"#, "can never get anything"),
        (
            "LEADS_ROUTES",
            r#"[{"actions":["PLT","Contact me"],"to":["a@b.c"]}]"#,
            "an action at place 2 that is no code",
        ),
        ("LEADS_ROUTES", r#"[{"actions":["PLT,INS"],"to":["a@b.c"]}]"#, "an action at place 1 that is no code"),
        ("LEADS_ROUTES", r#"[{"urgentAtOnce":"no","to":["a@b.c"]}]"#, "neither true nor false"),
        ("LEADS_ROUTES", r#"[{"to":["crm","a..b@x.example"]}]"#, "no mail address at place 2"),
        ("LEADS_ROUTES", r#"[{"to":["vertriebsbüro@contoso.com"]}]"#, "no mail address at place 1"),
        ("LEADS_ROUTES", r#"[{"to":["mail"]}]"#, "no mail address at place 1"),
        ("LEADS_ROUTES", r#"[{"to":["Teams"]}]"#, "no name of a destination"),
        ("LEADS_ROUTES", r#"[{"id":"default","to":["a@b.c"]}]"#, r#""id" that stands for the default recipients"#),
        ("LEADS_ROUTES", r#"[{"id":"name x","to":["a@b.c"]}]"#, "1 to 32 of a-z 0-9 -"),
        (
            "LEADS_ROUTES",
            r#"[{"cadence":"hourly","to":["a@b.c"]}]"#,
            r#"route 1 has a "cadence" that is none of the forms"#,
        ),
        (
            "LEADS_ROUTES",
            r#"[{"window":"8-18","to":["a@b.c"]}]"#,
            r#"route 1 has a "window" that is none of the forms"#,
        ),
        (
            "LEADS_ROUTES",
            r#"[{"zone":"Berlin","to":["a@b.c"]}]"#,
            r#"route 1 has a "zone" that is not in the time zone"#,
        ),
        (
            "LEADS_ROUTES",
            r#"[{"doNotContact":"no","to":["a@b.c"]}]"#,
            r#"route 1 has a "doNotContact" that is neither"#,
        ),
        ("LEADS_TEST_LEADS", "hide", "is neither"),
        ("LEADS_DO_NOT_CONTACT", "yes", "is neither"),
        ("LEADS_DIGEST_SIZE", "0", "is less than 1"),
        ("LEADS_DIGEST_SIZE", "many", "not a whole number"),
        ("LEADS_ROUTES_PARAMETER", "a b", "other characters"),
        ("LEADS_CADENCE", "hourly", "none of the forms"),
        ("LEADS_URGENT_ACTIONS", "PLT, Create", "something else than codes"),
        ("LEADS_URGENT_ACTIONS", "INS+notes", "something else than codes"),
        ("LEADS_INTERVAL_MINUTES", "-5", "not a whole number"),
        ("LEADS_INTERVAL_MINUTES", "30", "is none of them"),
        ("LEADS_OVERLAP_MINUTES", "1441", "is more than 1440"),
        ("LEADS_FIRST_LOOKBACK_MINUTES", "1.5", "not a whole number"),
        ("LEADS_SWEEP_HOURS", "off", "not a whole number"),
        ("LEADS_SILENCE_DAYS", "366", "is more than 365"),
        ("LEADS_CONTACT_WINDOW_DAYS", "0", "is less than 1"),
        ("LEADS_RETENTION_DAYS", "29", "is less than 30"),
        ("LEADS_MAIL_LANGAUGE", "en", "is not a setting"),
    ] {
        let error = NotifierSettings::from_pairs(with(&[(name, value)])).unwrap_err();
        let (message, problem) = (error.to_string(), &error.0[0]);
        assert_eq!(error.0.len(), 1, "{name}: {message}");
        assert!(message.contains(name) && message.contains(wrong), "{name}={value}: {message}");
        if let Some(variable) = VARIABLES.iter().find(|variable| variable.name == problem.variable) {
            assert!(message.contains(&variable.expected.to_string()), "{message}");
        }
    }
    for (name, value, wrong) in [
        ("LEADS_INTAKE_KEYS", "short", "only 5 characters"),
        ("LEADS_INTAKE_KEYS_PARAMETER", "/leads/keys", "are both set"),
        ("LEADS_QUEUE_URL", "leads", "is not a URL"),
        ("LEADS_QUEUE_URL", "arn:aws:sqs:eu-west-1:111122223333:leads", "no http or https URL"),
        ("LEADS_INTAKE_BUDGET_MS", "1999", "is less than 2000"),
        ("LEADS_STORAGE_ENDPOINT", "contosoleads", "is not a URL"),
        ("LEADS_STORAGE_ENDPOINT", "https://contosoleads.table.core.windows.net/?sv=1&sig=x", "has a query"),
        ("LEADS_STORAGE_ENDPOINT", "https://contosoleads:key@table.core.windows.net", "has a user's name"),
    ] {
        let message = match IntakeSettings::from_pairs(with(&[(name, value)])) {
            Ok(settings) => InvalidSettings(settings.problems).to_string(),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(name) && message.contains(wrong), "{name}={value}: {message}");
    }
    for (name, value, wrong) in [
        ("LEADS_INTAKE_URL", "https://abc.lambda-url.eu-west-1.on.aws/leads?code=x", "leave the key out"),
        ("LEADS_DEAD_LETTER_QUEUE_URL", "ftp://x", "no http or https URL"),
    ] {
        let problems = ValidationSettings::from_pairs(with(&[(name, value)])).problems;
        assert_eq!(problems.len(), 1);
        assert!(problems[0].variable == name && problems[0].wrong.contains(wrong), "{problems:?}");
    }
}

#[test]
fn a_parameter_takes_the_place_of_an_inline_secret() {
    let mut settings = with(&[
        ("LEADS_STORAGE_CONNECTION_STRING", ""),
        ("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", "/leads/storage"),
    ]);
    let read = ExportSettings::from_pairs(settings.clone()).unwrap();
    let (variable, name) = ("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", Secret::new("/leads/storage"));
    assert_eq!(read.connection_string, SecretSource::Parameter { variable, name });
    settings.retain(|(name, _)| !name.contains("CONNECTION"));
    let message = ExportSettings::from_pairs(settings).unwrap_err().to_string();
    assert!(message.contains("is not set, and neither is LEADS_STORAGE_CONNECTION_STRING_PARAMETER"), "{message}");
}

#[test]
fn a_language_is_one_of_those_in_the_folder_of_languages_in_any_casing() {
    for code in Language::codes() {
        for text in [code.to_owned(), code.to_uppercase()] {
            assert_eq!(notifier(&[("LEADS_MAIL_LANGUAGE", &text)]).mail.language.code(), code);
        }
        assert!(Expected::Language.to_string().split(" or ").any(|listed| listed == code));
    }
}

#[test]
fn the_template_offers_every_language_and_no_other() {
    let template = include_str!("../../../infra/aws/template.yaml");
    let (_, parameter) = template.split_once("\n  MailLanguage:\n").unwrap();
    let allowed = parameter.split("AllowedValues: [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    assert_eq!(allowed.split(", ").collect::<Vec<_>>(), Language::codes());
}

#[test]
fn settings_that_have_no_effect_together_are_said() {
    let route = |fields: &str| format!(r#"[{{{fields},"to":["hidden@contoso.com"]}}]"#);
    for (settings, said) in [
        (vec![], None),
        (vec![("LEADS_FIRST_LOOKBACK_MINUTES", "5".to_owned())], Some("the first run looks back as far as that")),
        (
            vec![("LEADS_CADENCE", "immediately".to_owned()), ("LEADS_INTERVAL_MINUTES", "15".to_owned())],
            Some("mails go out as often as that"),
        ),
        (vec![("LEADS_CADENCE", "immediately".to_owned())], None),
        (
            vec![
                ("LEADS_ROUTES", route(r#""cadence":"every 5 minutes""#)),
                ("LEADS_INTERVAL_MINUTES", "60".to_owned()),
            ],
            Some("route 1 has a cadence that is more often"),
        ),
        (vec![("LEADS_ROUTES", route(r#""cadence":"every 5 minutes""#))], None),
        (
            vec![("LEADS_ROUTES", route(r#""actions":["DNC"]"#)), ("LEADS_DO_NOT_CONTACT", "drop".to_owned())],
            Some("route 1 takes only leads that must not be contacted"),
        ),
        (
            vec![("LEADS_ROUTES", route(r#""doNotContact":"drop""#)), ("LEADS_DO_NOT_CONTACT", "drop".to_owned())],
            Some(r#"route 1 has "doNotContact""#),
        ),
        (vec![("LEADS_ROUTES", route(r#""doNotContact":"drop""#))], None),
        (
            vec![("LEADS_ROUTES", route(r#""urgentAtOnce":false"#)), ("LEADS_URGENT_ACTIONS", "none".to_owned())],
            Some(r#"route 1 has "urgentAtOnce""#),
        ),
        (
            vec![("LEADS_ROUTES", route(r#""urgentAtOnce":false,"cadence":"immediately""#))],
            Some(r#"route 1 has "urgentAtOnce""#),
        ),
        (vec![("LEADS_ROUTES", route(r#""urgentAtOnce":false"#))], None),
        (
            vec![("LEADS_ROUTES", route(r#""zone":"Europe/Berlin","cadence":"immediately""#))],
            Some(r#"route 1 has a "zone""#),
        ),
        (
            vec![("LEADS_ROUTES", route(r#""zone":"Europe/Berlin","cadence":"immediately","window":"08:00-18:00""#))],
            None,
        ),
        (
            vec![("LEADS_ROUTES", route(r#""cadence":"daily at 20:00","window":"08:00-18:00""#))],
            Some(r#"route 1 has a time of the day outside its "window""#),
        ),
        (
            vec![("LEADS_ROUTES", route(r#""cadence":"daily at 08:00 on sun","window":"08:00-18:00 on mon-fri""#))],
            Some(r#"outside its "window""#),
        ),
        (vec![("LEADS_ROUTES", route(r#""cadence":"daily at 08:00","window":"08:00-18:00 on mon-fri""#))], None),
    ] {
        let pairs: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = notifier(&pairs).without_effect();
        match said {
            Some(said) => assert!(found.len() == 1 && found[0].contains(said), "{pairs:?}: {found:?}"),
            None => assert!(found.is_empty(), "{pairs:?}: {found:?}"),
        }
        assert!(!found.concat().contains("hidden"), "{found:?}");
    }
}

#[test]
fn routes_are_in_a_variable_or_in_a_parameter_and_not_in_both() {
    let parameter = notifier(&[("LEADS_ROUTES_PARAMETER", "/marketplace-leads/routes")]).mail;
    assert_eq!((parameter.routes_parameter.as_deref(), parameter.routes.len()), (Some("/marketplace-leads/routes"), 0));
    let both = with(&[("LEADS_ROUTES_PARAMETER", "/marketplace-leads/routes"), ("LEADS_ROUTES", "[]")]);
    let error = NotifierSettings::from_pairs(both).unwrap_err();
    assert!(error.to_string().contains("LEADS_ROUTES and LEADS_ROUTES_PARAMETER are both set"), "{error}");
}

#[test]
fn a_schedule_that_is_wrong_in_part_has_defaults_for_the_rest() {
    let settings = ValidationSettings::from_pairs(with(&[
        ("LEADS_INTERVAL_MINUTES", "15"),
        ("LEADS_OVERLAP_MINUTES", "much"),
        ("LEADS_FIRST_LOOKBACK_MINUTES", "much"),
        ("LEADS_SWEEP_HOURS", "much"),
        ("LEADS_SILENCE_DAYS", "much"),
    ]));
    let (schedule, defaults) = (settings.schedule.or_defaults(), notifier(&[]).schedule);
    assert_eq!((schedule.interval, schedule.first_lookback), (Duration::from_secs(15 * 60), defaults.first_lookback));
    assert_eq!(
        (schedule.overlap, schedule.sweep, schedule.silence),
        (defaults.overlap, defaults.sweep, defaults.silence)
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = pairs(&[("LEADS_INTAKE_BUDGET_MS", "1"), ("LEADS_TABLE", "?")]);
    let error = IntakeSettings::from_pairs(wrong.clone()).unwrap_err();
    let mut variables: Vec<_> = error.0.iter().map(|problem| problem.variable.as_str()).collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "LEADS_INTAKE_BUDGET_MS",
            "LEADS_INTAKE_KEYS",
            "LEADS_QUEUE_URL",
            "LEADS_STORAGE_CONNECTION_STRING",
            "LEADS_TABLE"
        ]
    );
    assert_eq!(error.to_string().lines().count(), 5);
    assert_eq!(format!("{error:?}"), error.to_string());
    let error = NotifierSettings::from_pairs(with(&[("LEADS_INTERVAL_MINUTES", "0")])).unwrap_err();
    assert_eq!(error.0.len(), 1, "a wrong interval is not said of the lookback, too: {error}");
}

#[test]
fn intake_starts_with_any_wrong_setting_but_that_of_its_queue() {
    let queue = "https://sqs.eu-west-1.amazonaws.com/111122223333/leads";
    let wrong = pairs(&[
        ("LEADS_QUEUE_URL", queue),
        ("LEADS_INTAKE_BUDGET_MS", "1"),
        ("LEADS_TABLE", "?"),
        ("LEADS_STORAGE_ENDPOINT", "contosoleads"),
        ("LEADS_INTAKE_KEYS_PARAMETER", "no name"),
        ("LEADS_MAIL_LANGAUGE", "en"),
    ]);
    let settings = IntakeSettings::from_pairs(wrong).unwrap();
    assert_eq!((settings.queue_url.as_str(), settings.budget), (queue, Duration::from_secs(5)));
    assert!(settings.storage.is_none() && settings.keys.is_none());
    assert_eq!(settings.problems.len(), 6, "{:?}", settings.problems);
    let wrong = IntakeSettings::from_pairs(with(&[("LEADS_STORAGE_ENDPOINT", "contosoleads")])).unwrap();
    assert!(wrong.storage.is_some() && wrong.storage_endpoint.is_none() && wrong.problems.len() == 1);
    let malformed = IntakeSettings::from_pairs(with(&[("LEADS_STORAGE_CONNECTION_STRING", "x")])).unwrap();
    assert!(malformed.storage.is_some() && malformed.problems.len() == 1);
}

#[test]
fn no_error_and_no_debug_repeats_a_value() {
    let secret = "hidden@contoso.com;AccountKey=hidden";
    for variable in VARIABLES {
        let values = with(&[
            (variable.name, secret),
            ("LEADS_ROUTES", r#"[{"hidden@contoso.com":1}]"#),
            ("LEADS_MAIL_LANGAUGE", secret),
        ]);
        let shown = [
            format!("{:?}", IntakeSettings::from_pairs(values.clone())),
            format!("{:?}", NotifierSettings::from_pairs(values.clone())),
            format!("{:?}", ValidationSettings::from_pairs(values)),
        ];
        assert!(!shown.concat().contains("hidden"), "{}: {shown:?}", variable.name);
    }
    // What has the form of a parameter's name, and is the secret itself.
    let pasted = pairs(&[("LEADS_QUEUE_URL", "https://x"), ("LEADS_INTAKE_KEYS_PARAMETER", "hidden-0123456789abcdef")]);
    assert!(!format!("{:?}", IntakeSettings::from_pairs(pasted)).contains("hidden"));
    let routes = r#"[{"name":"hidden","to":["hidden@contoso.com"]}]"#;
    let values = with(&[("LEADS_MAIL_TO", "hidden@contoso.com"), ("LEADS_ROUTES", routes)]);
    let settings = NotifierSettings::from_pairs(values.clone()).unwrap();
    let shown = format!(
        "{settings:?} {:?} {:?} {:?}",
        settings.mail.routes,
        ValidationSettings::from_pairs(values),
        IntakeSettings::from_pairs(right()).unwrap()
    );
    for hidden in ["hidden", KEY, "c2VjcmV0", "contosoleads"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn validation_sees_what_is_right_beside_what_is_wrong() {
    let settings = ValidationSettings::from_pairs(pairs(&[
        ("LEADS_STORAGE_CONNECTION_STRING", CONNECTION),
        ("LEADS_MAIL_TO", "boss"),
        ("LEADS_MAIL_FROM", "leads@contoso.com"),
        ("LEADS_SWEEP_HOURS", "0"),
    ]));
    assert!(settings.storage.connection_string.is_some() && settings.mail.to.is_none() && settings.queue_url.is_none());
    let from = settings.mail.from.map(|from| from.header());
    assert_eq!((from.as_deref(), settings.schedule.sweep), (Some("leads@contoso.com"), Some(None)));
    let mut wrong: Vec<_> = settings.problems.iter().map(|problem| problem.variable.as_str()).collect();
    wrong.sort_unstable();
    assert_eq!(wrong, ["LEADS_INTAKE_KEYS", "LEADS_MAIL_TO", "LEADS_QUEUE_URL"]);
}

#[test]
fn every_function_reads_the_variables_that_the_table_of_settings_gives_it_and_no_others() {
    let reads = |function: Function| {
        let mut reader = Reader::new(right());
        match function {
            Function::Intake => drop(IntakeSettings::read(&mut reader)),
            Function::Redelivery => drop(RedeliverySettings::read(&mut reader)),
            Function::Notifier => drop(NotifierSettings::read(&mut reader)),
            Function::Validation => drop(ValidationSettings::read(&mut reader)),
            Function::Export => drop(ExportSettings::read(&mut reader)),
        }
        reader.read
    };
    for function in Function::ALL {
        let listed: BTreeSet<_> =
            VARIABLES.iter().filter(|variable| variable.functions.contains(&function)).map(|one| one.name).collect();
        assert_eq!(reads(function), listed, "{}", function.name());
    }
}

#[test]
fn the_variable_of_the_local_cloud_for_destinations_on_this_machine_stops_no_function() {
    for value in ["allow", "deny"] {
        let pairs = with(&[(LOOPBACK, value)]);
        assert_eq!(allows_loopback(pairs.clone()), value == "allow");
        assert_eq!(NotifierSettings::from_pairs(pairs).err(), None, "{value}");
    }
    let misspelt = NotifierSettings::from_pairs(with(&[("LEADS_DESTINATION_LOOPBACK", "allow")]));
    assert!(misspelt.unwrap_err().to_string().contains("is not a setting"));
}
