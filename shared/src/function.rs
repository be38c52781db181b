//! Which functions are deployed.

/// A deployed function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// `lead-intake`
    Intake,
    /// `lead-redelivery`
    Redelivery,
    /// `lead-notifier`
    Notifier,
    /// `lead-validation`
    Validation,
    /// `lead-export`
    Export,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 5] = [Self::Intake, Self::Redelivery, Self::Notifier, Self::Validation, Self::Export];

    /// The function's short name, such as `lead-intake`. It is also the name of its crate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "lead-intake",
            Self::Redelivery => "lead-redelivery",
            Self::Notifier => "lead-notifier",
            Self::Validation => "lead-validation",
            Self::Export => "lead-export",
        }
    }
}
