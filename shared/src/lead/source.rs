//! `LeadSource`: `Source-Action|Offer`.

/// The parts of a `LeadSource`, such as `AzureMarketplace-INS|contoso.backup-pro`. Parts that are missing are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadSource {
    /// Which marketplace.
    pub marketplace: Marketplace,
    /// What the customer did there.
    pub action: Action,
    /// The offer's id, mostly `publisherid.offerid`.
    pub offer: String,
}

/// The marketplace of a lead. An open set: Microsoft adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marketplace {
    /// `AzureMarketplace`
    AzureMarketplace,
    /// `AzurePortal`
    AzurePortal,
    /// `SPZA`, also written `AppSource (SPZA)`
    AppSource,
    /// `TestDrive`
    TestDrive,
    /// Any other name, trimmed; empty where there is none.
    Other(String),
}

/// What the customer did. An open set: Microsoft adds to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `INS`: installed it, or clicked *Get it now*.
    Install,
    /// `PLT`: asked for a trial led by the partner (*Contact me*).
    ContactMe,
    /// `DNC`: do not contact; the customer was cross-listed, for information only.
    DoNotContact,
    /// `Create`: bought it in the Azure portal.
    Create,
    /// `StartTestDrive`
    StartTestDrive,
    /// Any other code, trimmed; empty where there is none.
    Other(String),
}

impl LeadSource {
    /// Reads a `LeadSource`. Never fails: what it does not know, it keeps as [`Marketplace::Other`] and
    /// [`Action::Other`].
    ///
    /// Offers contain hyphens, so the text is split at its first `|`, and only the part before at its first `-`.
    pub fn parse(text: &str) -> Self {
        let (left, offer) = text.split_once('|').unwrap_or((text, ""));
        let (marketplace, action) = left.split_once('-').unwrap_or((left, ""));
        Self {
            marketplace: Marketplace::parse(marketplace),
            action: Action::parse(action),
            offer: offer.trim().to_owned(),
        }
    }
}

impl Marketplace {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let is = |names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        match () {
            () if is(&["AzureMarketplace"]) => Self::AzureMarketplace,
            () if is(&["AzurePortal"]) => Self::AzurePortal,
            () if is(&["SPZA", "AppSource", "AppSource (SPZA)"]) => Self::AppSource,
            () if is(&["TestDrive"]) => Self::TestDrive,
            () => Self::Other(text.to_owned()),
        }
    }

    /// The name that people know.
    pub fn name(&self) -> &str {
        match self {
            Self::AzureMarketplace => "Azure Marketplace",
            Self::AzurePortal => "Azure portal",
            Self::AppSource => "AppSource",
            Self::TestDrive => "Test Drive",
            Self::Other(name) => name,
        }
    }
}

impl Action {
    /// Reads an action code in any casing.
    pub fn parse(code: &str) -> Self {
        let code = code.trim();
        let known = [Self::Install, Self::ContactMe, Self::DoNotContact, Self::Create, Self::StartTestDrive];
        let mut known = known.into_iter().filter(|action| action.code().eq_ignore_ascii_case(code));
        known.next().unwrap_or_else(|| Self::Other(code.to_owned()))
    }

    /// Microsoft's code.
    pub fn code(&self) -> &str {
        match self {
            Self::Install => "INS",
            Self::ContactMe => "PLT",
            Self::DoNotContact => "DNC",
            Self::Create => "Create",
            Self::StartTestDrive => "StartTestDrive",
            Self::Other(code) => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_source_is_split_at_the_bar_first_and_then_at_the_first_hyphen() {
        let other = |text: &str| Marketplace::Other(text.to_owned());
        let none = Action::Other(String::new());
        for (text, marketplace, action, offer) in [
            ("AzureMarketplace", Marketplace::AzureMarketplace, none.clone(), ""),
            ("azuremarketplace-ins|contoso.backup", Marketplace::AzureMarketplace, Action::Install, "contoso.backup"),
            (
                "SPZA-INS | checkpoint.check-point-r77-10sg-byol",
                Marketplace::AppSource,
                Action::Install,
                "checkpoint.check-point-r77-10sg-byol",
            ),
            ("AppSource (SPZA)-PLT|a.b", Marketplace::AppSource, Action::ContactMe, "a.b"),
            ("AzurePortal-Create|a|b", Marketplace::AzurePortal, Action::Create, "a|b"),
            ("TestDrive-StartTestDrive|a.b", Marketplace::TestDrive, Action::StartTestDrive, "a.b"),
            (" AzureMarketplace - DNC | a.b ", Marketplace::AzureMarketplace, Action::DoNotContact, "a.b"),
            ("Teams-New|a.b", other("Teams"), Action::Other("New".into()), "a.b"),
            ("|a.b", other(""), none.clone(), "a.b"),
            ("", other(""), none.clone(), ""),
        ] {
            let expected = LeadSource { marketplace, action, offer: offer.into() };
            assert_eq!(LeadSource::parse(text), expected, "{text:?}");
        }
    }
}
