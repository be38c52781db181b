//! How a list is read, and which row stands for which lead.

use super::dates::Order;
use super::list::{self, Listed};
use super::pairs::Rows;
use crate::lead::{Customer, DateOrder, Lead, Origin, StoredLead};
use crate::table::Keys;
use jiff::Timestamp;
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn days(list: &list::List) -> Vec<String> {
    let day = |lead: &Listed| lead.day.map(|day| day.to_string()).unwrap_or_default();
    list.leads.iter().map(day).collect()
}

#[test]
fn the_order_of_dates_is_that_of_the_whole_file() {
    use DateOrder::{DayFirst, MonthFirst};
    for (dates, wanted, order, expected) in [
        ("11/13/2025|11/3/2025", None, Order::Known(MonthFirst), ["2025-11-13", "2025-11-03"]),
        ("13/11/2025|3/11/2025", None, Order::Known(DayFirst), ["2025-11-13", "2025-11-03"]),
        ("13/11/2025 20:02:52|03/11/2025 08:00", None, Order::Known(DayFirst), ["2025-11-13", "2025-11-03"]),
        ("03-11-2025|13-11-2025", None, Order::Known(DayFirst), ["2025-11-03", "2025-11-13"]),
        // No lead is from the future, and a mistake weighs less than what the numbers allow.
        ("03/12/2026|05/11/2026", None, Order::Known(MonthFirst), ["2026-03-12", "2026-05-11"]),
        ("12/03/2026|11/05/2026", None, Order::Known(DayFirst), ["2026-03-12", "2026-05-11"]),
        ("11/24/2026|12/03/2026", None, Order::Known(MonthFirst), ["2026-11-24", "2026-12-03"]),
        ("03/04/2025|05/06/2025", None, Order::Ambiguous, ["2025-03-04", "2025-05-06"]),
        ("03/04/2025|05/06/2025", Some(DayFirst), Order::Known(DayFirst), ["2025-04-03", "2025-06-05"]),
        ("03/04/2025|05/06/2025", Some(MonthFirst), Order::Known(MonthFirst), ["2025-03-04", "2025-05-06"]),
        ("11/13/2025|13/11/2025", None, Order::Mixed, ["2025-11-13", "2025-11-13"]),
        ("13/11/2025|3/11/2025", Some(MonthFirst), Order::Known(MonthFirst), ["", "2025-03-11"]),
        // Nothing has to be decided.
        ("05/05/2025|2025-11-03", None, Order::Plain, ["2025-05-05", "2025-11-03"]),
        ("13.11.2025|3.11.2025 08:00", None, Order::Plain, ["2025-11-13", "2025-11-03"]),
        ("3 Nov 2025|Nov 13, 2025", None, Order::Plain, ["2025-11-03", "2025-11-13"]),
        ("2025-11-03T23:30:00-08:00|2025/11/13", None, Order::Plain, ["2025-11-04", "2025-11-13"]),
        ("13/13/2025|5/5/25", None, Order::Plain, ["", ""]),
        ("5/5/1999|soon", None, Order::Plain, ["", ""]),
    ] {
        let (first, second) = dates.split_once('|').unwrap();
        let csv = format!("Email,Date\na@b.example,\"{first}\"\na@b.example,\"{second}\"\n");
        let list = list::read(&csv, wanted, now()).unwrap();
        assert_eq!((list.order, days(&list)), (order, expected.map(str::to_owned).to_vec()), "{dates}");
        let unreadable = expected.iter().zip(2..).filter(|(day, _)| day.is_empty()).map(|(_, line)| line);
        assert_eq!(list.unreadable_dates, unreadable.collect::<Vec<u64>>(), "{dates}");
    }
    let mixed = "Email,Date\na@b.example,11/13/2025\na@b.example,13/11/2025\na@b.example,3/4/2025\n";
    let list = list::read(mixed, None, now()).unwrap();
    assert_eq!((list.order, list.unreadable_dates), (Order::Mixed, vec![4]));
}

/// The columns of Partner Center's downloads, as Microsoft documents them.
#[test]
fn partner_centers_own_headings_are_known_in_its_languages() {
    const LEADS: &str = "Referral ID,Creation Date,Updated Date,PartnerID,Customer Country,Customer City,Customer Name,\
                         Lead Type,Lead Source,Call to action,Referral program,Business profile ID,Offer ID,Offer name,\
                         Lead currency,Lead value,Lead value (USD),Status,Status Reason\n\
                         r-1,11/13/2025,11/20/2026,42,US,Redmond,\"Contoso, Ltd.\",Offer lead,Azure Marketplace,\
                         Get it now,,,contoso.backup,Contoso Backup,USD,1,1,New,\n";
    let list = list::read(LEADS, None, now()).unwrap();
    let lead = &list.leads[0];
    assert!(!list.has_addresses && lead.address.is_empty());
    assert_eq!((lead.customer.as_str(), days(&list)), ("Contoso, Ltd.", vec!["2025-11-13".to_owned()]));
    assert_eq!(lead.offers, ["contoso.backup", "contoso backup"]);
    assert_eq!(lead.action, Some(list::Deed::GetItNow));

    // The address of the partner's own contact, which the co-sell download of Insights has, is not the customer's.
    let insights = "Referral ID,Customer Name,Registered contact email\nr-1,Contoso,seller@partner.example\n";
    let list = list::read(insights, None, now()).unwrap();
    assert!(!list.has_addresses && list.leads[0].address.is_empty());

    for (address, customer, first, last) in [
        (
            "Customer Contact Email Address",
            "Customer Name",
            "Customer Contact First Name",
            "Customer Contact Last Name",
        ),
        ("E-Mail-Adresse des Kunden", "Customer Name", "Vorname des Kundenkontakts", "Nachname des Kundenkontakts"),
        (
            "Dirección de correo electrónico de contacto del cliente",
            "Nombre del cliente",
            "Nombre de contacto del cliente",
            "Apellido de contacto del cliente",
        ),
        ("Adresse E-mail du contact client", "Nom du client", "Prénom du contact client", "Nom du contact du client"),
        (
            "Indirizzo di posta elettronica del contatto del cliente",
            "Nome del cliente",
            "Nome contatto cliente",
            "Cognome contatto cliente",
        ),
        ("お客様の連絡先の電子メールアドレス", "Customer Name", "お客様の連絡先名", "お客様の連絡先の姓"),
        ("客户联系人电子邮件地址", "客户名称", "客户联系人名字", "客户联系人姓氏"),
    ] {
        let csv = format!(
            "Errors,Deal Name,{customer},{first},{last},{address},Estimated Close Date,Solution 1,Team member 1\n\
             ,Deal,Contoso,Ada,Doe,Ada@contoso.example,1/30/2030,\"SOL-1, USD, 10, 100\",\"Bob, Partner, 9, b@c.example\"\n"
        );
        let list = list::read(&csv, None, now()).unwrap();
        let lead = &list.leads[0];
        assert_eq!((lead.address.as_str(), lead.customer.as_str()), ("ada@contoso.example", "Contoso"), "{address}");
        assert!(lead.offers.is_empty() && lead.day.is_none(), "{address}");
        assert_eq!(lead.describe(), "line 2: Ada Doe, ada@contoso.example", "{address}");
    }
    for (customer, created, solution) in [
        ("Naam van klant", "Verwijzingsdatum maken", "Naam van de oplossing"),
        ("Nazwa klienta", "Data utworzenia odwołania", "Nazwa rozwiązania"),
        ("Nome do Cliente", "Data de Criação de Encaminhamento", "Nome da Solução"),
        ("Kundnamn", "Skapandedatum för referens", "Namn på lösning"),
        ("Müşteri Adı", "Başvuru oluşturma tarihi", "Çözüm Adı"),
    ] {
        let csv = format!("ID;{customer};{created};{solution}\n1;Contoso;2025-11-13;Contoso Backup\n");
        let list = list::read(&csv, None, now()).unwrap();
        assert_eq!(days(&list), ["2025-11-13"], "{created}");
        assert_eq!((list.leads[0].customer.as_str(), list.leads[0].offers.len()), ("Contoso", 1), "{customer}");
    }
}

fn row(key: &str, address: &str, offer: &str, action: &str, day: &str) -> StoredLead {
    let lead = Lead {
        customer: Customer {
            email: address.to_owned(),
            first_name: "Ada".to_owned(),
            last_name: "Doe".to_owned(),
            company: "Contoso Ltd".to_owned(),
            ..Customer::default()
        },
        lead_source: format!("AzureMarketplace-{action}|contoso.{offer}"),
        created_time: day.to_owned(),
        ..Lead::default()
    };
    let keys = Keys::new("partner", key);
    StoredLead { lead, keys, timestamp: None, received: None, same_request: None, origin: Origin::Table }
}

/// The key of the row that stands for each lead, or `-`.
fn pairs(csv: &str, rows: &[StoredLead]) -> String {
    let list = list::read(csv, None, now()).unwrap();
    let mut known = Rows::of(&list);
    rows.iter().for_each(|row| known.add(row));
    let pairs = known.pair(&list.leads);
    let key = |place: &Option<usize>| place.map_or("-".to_owned(), |place| known.row(place).keys.row.clone());
    pairs.iter().map(key).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_row_stands_for_one_lead() {
    let a = |key: &str, action: &str, day: &str| row(key, "A@b.example", "backup", action, day);
    for (what, leads, rows, expected) in [
        (
            "a second lead of a person is not the first one's row",
            "a@b.example,backup,,2025-11-13\na@b.example,backup,,2025-11-13",
            vec![a("1", "INS", "2025-11-13")],
            "1 -",
        ),
        (
            "each finds its own",
            "a@b.example,backup,,2025-11-13\na@b.example,backup,,2025-11-13",
            vec![a("1", "INS", "2025-11-13"), a("2", "INS", "2025-11-13")],
            "1 2",
        ),
        (
            "the same day goes first, whatever the order",
            "a@b.example,backup,,2025-11-13\na@b.example,backup,,2025-11-14",
            vec![a("14", "INS", "2025-11-14"), a("13", "INS", "2025-11-13")],
            "13 14",
        ),
        (
            "a lead gives its row to one that has no other",
            "a@b.example,backup,,2025-11-13\na@b.example,backup,,2025-11-12",
            vec![a("13", "INS", "2025-11-13"), a("14", "INS", "2025-11-14")],
            "14 13",
        ),
        (
            "actions count",
            "a@b.example,backup,Contact me,2025-11-13\na@b.example,backup,Get it now,2025-11-13",
            vec![a("1", "INS", "2025-11-13"), a("2", "INS", "2025-11-13")],
            "- 1",
        ),
        (
            "an action that is not known tells nothing apart",
            "a@b.example,backup,Contact me,2025-11-13\na@b.example,backup,Free trial,2025-11-13",
            vec![a("1", "DNC", "2025-11-13"), a("2", "PLT", "2025-11-13")],
            "1 2",
        ),
        ("two days are too many", "a@b.example,backup,,2025-11-13", vec![a("1", "INS", "2025-11-15")], "-"),
        ("another offer is another lead", "a@b.example,vm,,2025-11-13", vec![a("1", "INS", "2025-11-13")], "-"),
        (
            "one of several offers",
            "a@b.example,\"contoso.vm, contoso.backup\",,2025-11-13",
            vec![a("1", "INS", "2025-11-13")],
            "1",
        ),
        ("another person", "b@b.example,backup,,2025-11-13", vec![a("1", "INS", "2025-11-13")], "-"),
    ] {
        let csv = format!("Email,Offer,Call to action,Date\n{leads}\n");
        assert_eq!(pairs(&csv, &rows), expected, "{what}");
    }
}

#[test]
fn a_lead_without_an_address_is_found_by_the_names_of_its_company_or_person() {
    let rows = [row("1", "", "backup", "INS", "2025-11-13"), row("2", "a@b.example", "vm", "INS", "2025-11-13")];
    for (csv, expected) in [
        ("Customer Name,Offer ID,Creation Date\n\"CONTOSO, Ltd.\",contoso.backup,11/13/2025\n", "1"),
        ("Customer Name,Offer ID,Creation Date\nAda Doe,contoso.vm,11/13/2025\n", "2"),
        ("Customer Name,Offer ID,Creation Date\nFabrikam,contoso.vm,11/13/2025\n", "-"),
        ("Email,First Name,Last Name,Date\n,Ada,Doe,2025-11-13\na@b.example,,,2025-11-13\n", "1 2"),
        // An address that is not the row's is not made up for by a name.
        ("Email,Company,Date\nz@b.example,Contoso Ltd,2025-11-13\n", "-"),
    ] {
        assert_eq!(pairs(csv, &rows), expected, "{csv}");
    }
}

proptest! {
    /// Compared with trying all ways.
    #[test]
    fn as_many_leads_as_possible_have_a_row(
        leads in prop::collection::vec((1..9_u8, 0..2_usize), 0..6),
        rows in prop::collection::vec((1..9_u8, 0..2_usize), 0..6),
    ) {
        fn most(leads: &[(u8, usize)], rows: &[(u8, usize)], used: u32) -> usize {
            let Some(((day, offer), rest)) = leads.split_first() else { return 0 };
            let fits = |at: &usize| used & (1 << at) == 0 && rows[*at].1 == *offer && rows[*at].0.abs_diff(*day) < 2;
            let taken = (0..rows.len()).filter(fits).map(|at| 1 + most(rest, rows, used | (1 << at))).max();
            taken.unwrap_or_default().max(most(rest, rows, used))
        }
        let offers = ["backup", "vm"];
        let csv: String = leads
            .iter()
            .map(|(day, offer)| format!("a@b.example,{},2025-11-0{day}\n", offers[*offer]))
            .collect();
        let stored: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(at, (day, offer))| {
                row(&format!("r{at}"), "a@b.example", offers[*offer], "INS", &format!("2025-11-0{day}"))
            })
            .collect();
        let found = pairs(&format!("Email,Offer,Date\n{csv}"), &stored);
        let keys: Vec<_> = found.split(' ').filter(|key| key.starts_with('r')).collect();
        prop_assert_eq!(keys.len(), most(&leads, &rows, 0), "{}", found);
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        prop_assert_eq!(different.len(), keys.len(), "a row stands for two leads: {}", found);
    }
}

#[test]
fn a_person_with_thousands_of_rows_and_leads_is_compared_within_bounds() {
    let rows: Vec<_> =
        (0..12_000).map(|at| row(&at.to_string(), "a@b.example", "backup", "INS", "2025-11-13")).collect();
    let csv = format!("Email,Offer,Date\n{}", "a@b.example,backup,2025-11-13\n".repeat(5_000));
    let list = list::read(&csv, None, now()).unwrap();
    let mut known = Rows::of(&list);
    rows.iter().take(3_000).for_each(|row| known.add(row));
    assert_eq!(known.pair(&list.leads).iter().flatten().count(), 3_000);
    assert!(!known.are_more);
    rows.iter().skip(3_000).for_each(|row| known.add(row));
    assert!(known.are_more);
}
