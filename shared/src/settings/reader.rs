//! Reads variables of any kind, and collects what is wrong with them.

use super::values;
use super::variables::{Expected, Fallback, VARIABLES, Variable};
use super::{InvalidSettings, LOOPBACK, Problem};
use crate::secret::{Secret, SecretSource};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads the variables of one function.
pub(super) struct Reader {
    values: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    /// The variables that were asked for.
    #[cfg(test)]
    pub(super) read: std::collections::BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let values: BTreeMap<_, _> =
            pairs.into_iter().filter(|(name, value)| name.starts_with("LEADS_") && !value.trim().is_empty()).collect();
        // A misspelt name would silently leave its default in force.
        let problems = values
            .keys()
            .filter(|name| *name != LOOPBACK && VARIABLES.iter().all(|variable| variable.name != name.as_str()))
            .map(|name| Problem {
                variable: name.clone(),
                wrong: "is not a setting".to_owned(),
                expected: "one of the README's table of settings".to_owned(),
            })
            .collect();
        Self {
            values,
            problems,
            #[cfg(test)]
            read: Default::default(),
        }
    }

    pub(super) fn problem(&mut self, variable: &Variable, wrong: impl Into<String>) {
        self.problems.push(Problem {
            variable: variable.name.to_owned(),
            wrong: wrong.into(),
            expected: variable.expected.to_string(),
        });
    }

    /// The variable's own text, trimmed.
    pub(super) fn set(&mut self, variable: &Variable) -> Option<String> {
        #[cfg(test)]
        self.read.insert(variable.name);
        self.values.get(variable.name).map(|text| text.trim().to_owned())
    }

    /// The variable's text, trimmed, or its default's.
    pub(super) fn text(&mut self, variable: &Variable) -> Option<String> {
        self.set(variable).or_else(|| match variable.default {
            Fallback::Value(text) => Some(text.to_owned()),
            Fallback::Required | Fallback::Nothing => None,
        })
    }

    /// The variable's value; `None` where it is wrong, which is noted, or where nothing is set. `parse` says what is
    /// wrong as the rest of a sentence that begins with the variable's name.
    pub(super) fn get<T>(&mut self, variable: Variable, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.text(&variable) {
            Some(text) => parse(&text).map_err(|wrong| self.problem(&variable, wrong)).ok(),
            None => {
                if variable.default == Fallback::Required {
                    self.problem(&variable, "is not set");
                }
                None
            }
        }
    }

    /// The variable's value where it may be left out: `Some(None)` where it is not set, `None` where it is wrong.
    pub(super) fn optional<T>(
        &mut self,
        variable: Variable,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.text(&variable) {
            Some(_) => self.get(variable, parse).map(Some),
            None => Some(None),
        }
    }

    /// A whole number in the variable's range.
    pub(super) fn number(&mut self, variable: Variable) -> Option<u64> {
        let Expected::WholeNumber { min, max } = variable.expected else { return None };
        self.get(variable, |text| values::whole_number(text, min, max))
    }

    /// A number of minutes.
    pub(super) fn minutes(&mut self, variable: Variable) -> Option<Duration> {
        self.number(variable).map(|minutes| Duration::from_secs(minutes * 60))
    }

    /// A number of hours, where 0 is never.
    pub(super) fn hours_or_never(&mut self, variable: Variable) -> Option<Option<Duration>> {
        self.number(variable).map(|hours| Some(Duration::from_secs(hours * 60 * 60)).filter(|time| !time.is_zero()))
    }

    /// A number of days.
    pub(super) fn days(&mut self, variable: Variable) -> Option<Duration> {
        self.number(variable).map(|days| Duration::from_secs(days * 24 * 60 * 60))
    }

    /// A number of days, where 0 is never.
    pub(super) fn days_or_never(&mut self, variable: Variable) -> Option<Option<Duration>> {
        self.days(variable).map(|time| Some(time).filter(|time| !time.is_zero()))
    }

    /// A secret, from one of two variables. A malformed one is given nevertheless, for validation to look into.
    pub(super) fn secret(
        &mut self,
        inline: Variable,
        parameter: Variable,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<SecretSource> {
        match (self.text(&inline), self.text(&parameter)) {
            (Some(_), Some(_)) => {
                self.problem(&inline, format!("and {} are both set: which one counts?", parameter.name));
                None
            }
            (Some(text), None) => match check(&text) {
                Ok(()) => Some(SecretSource::Inline(Secret::new(text))),
                Err(wrong) => {
                    self.problem(&inline, wrong);
                    Some(SecretSource::Inline(Secret::new(text)))
                }
            },
            (None, Some(_)) => {
                let name = self.get(parameter, values::parameter_name)?;
                Some(SecretSource::Parameter { variable: parameter.name, name: Secret::new(name) })
            }
            (None, None) => {
                self.problem(&inline, format!("is not set, and neither is {}", parameter.name));
                None
            }
        }
    }

    /// The settings, where they are complete and nothing is wrong.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, InvalidSettings> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(InvalidSettings(self.problems)),
        }
    }
}
