//! Secret texts, which cannot be printed; where they are kept; and what is made of one that can be rotated.

mod renewed;

pub use renewed::{Current, Newer, ReadSecret, Renewed, no_secret};

use std::fmt;

/// A key, a connection string, a signature. Neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text, so that it can no longer be printed by mistake.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the setting itself.
    Inline(Secret),
    /// In an SSM parameter; see [`crate::aws::secrets`].
    Parameter {
        /// The variable that holds the parameter's name. Errors say this.
        variable: &'static str,
        /// The parameter's name. It is never shown: somebody may have pasted the secret itself in its place.
        name: Secret,
    },
}
