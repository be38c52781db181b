//! The headings of lists of leads: Partner Center's own, and usual ones of lists that people make.
//!
//! Partner Center's downloads, as Microsoft documents their columns (which of them are known: `docs/validation.md`):
//! - leads and co-sell of Insights: <https://learn.microsoft.com/partner-center/referral-analytics-data-definition>; neither
//!   has the customer's address;
//! - co-sell opportunities: <https://learn.microsoft.com/partner-center/bulk-operations>.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The customer's mail address.
    Address,
    /// The customer's company; Partner Center calls it the customer's name.
    Customer,
    /// A person's name, or a part of it.
    Person,
    /// The offer's name or id. There may be several such columns, and several offers in a cell.
    Offer,
    /// What the customer did.
    Action,
    /// When the lead came about.
    Date,
}

/// The headings of each column. Where a list has several addresses or dates, the heading that stands first here counts.
const HEADINGS: [(Column, &[&str]); 6] = [
    (
        Column::Address,
        &[
            "Customer Contact Email Address",
            "E-Mail-Adresse des Kunden",
            "Dirección de correo electrónico de contacto del cliente",
            "Adresse E-mail du contact client",
            "Indirizzo di posta elettronica del contatto del cliente",
            "お客様の連絡先の電子メールアドレス",
            "客户联系人电子邮件地址",
            "Email",
            "Email Address",
            "Customer Email",
            "Contact Email",
            "Lead Email",
            "Customer Email Address",
            "Mail",
        ],
    ),
    (
        Column::Customer,
        &[
            "Customer Name",
            "Nombre del cliente",
            "Nom du client",
            "Nome del cliente",
            "Nome do Cliente",
            "Naam van klant",
            "Nazwa klienta",
            "Kundnamn",
            "Müşteri Adı",
            "客户名称",
            "Company",
            "Company Name",
        ],
    ),
    (
        Column::Person,
        &[
            "Customer Contact First Name",
            "Customer Contact Last Name",
            "Vorname des Kundenkontakts",
            "Nachname des Kundenkontakts",
            "Nombre de contacto del cliente",
            "Apellido de contacto del cliente",
            "Prénom du contact client",
            "Nom du contact du client",
            "Nome contatto cliente",
            "Cognome contatto cliente",
            "お客様の連絡先名",
            "お客様の連絡先の姓",
            "客户联系人名字",
            "客户联系人姓氏",
            "Name",
            "Full Name",
            "Contact Name",
            "First Name",
            "Last Name",
            "Contact",
            "Lead Name",
        ],
    ),
    (
        Column::Offer,
        &[
            "Offer ID",
            "Offer name",
            "Solution name",
            "Naam van de oplossing",
            "Nazwa rozwiązania",
            "Nome da Solução",
            "Namn på lösning",
            "Çözüm Adı",
            "Offer",
            "Offer Title",
            "Offer Display Name",
            "Product",
            "Product Name",
            "Product Title",
            "Product ID",
            "Solution",
            "Marketplace Offer",
        ],
    ),
    (Column::Action, &["Call to action", "Action", "Action Code", "CTA"]),
    (
        Column::Date,
        &[
            "Creation Date",
            "Verwijzingsdatum maken",
            "Data utworzenia odwołania",
            "Data de Criação de Encaminhamento",
            "Skapandedatum för referens",
            "Başvuru oluşturma tarihi",
            "Date",
            "Time",
            "Created",
            "Created On",
            "Created At",
            "Created Date",
            "Created Time",
            "Date Created",
            "Lead Date",
            "Lead Time",
            "Lead Created Date",
            "Lead Created",
            "Received",
            "Received Date",
            "Referral Date",
            "Timestamp",
        ],
    ),
];

/// The columns of a list.
pub(super) struct Columns {
    headings: Vec<String>,
}

impl Columns {
    pub(super) fn new<'a>(headings: impl Iterator<Item = &'a str>) -> Self {
        Self { headings: headings.map(letters).collect() }
    }

    /// The places of a column, in the order of its headings above.
    pub(super) fn of(&self, column: Column) -> Vec<usize> {
        let names = HEADINGS.iter().filter(|(known, _)| *known == column).flat_map(|(_, names)| *names);
        let places = |name: String| {
            let headings = self.headings.iter().enumerate();
            headings.filter(move |(_, heading)| **heading == name).map(|(place, _)| place)
        };
        names.flat_map(|name| places(letters(name))).collect()
    }
}

/// A text in lower case, without anything but letters and digits.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
