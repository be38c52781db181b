//! What a release says of itself: the newest part of the changelog.

use crate::{Failure, Result};

/// The text below the first heading of the second level, with that heading.
///
/// # Errors
/// Where the changelog has no such heading, or nothing below it.
pub fn newest(changelog: &str) -> Result<String> {
    let lines = changelog.lines().skip_while(|line| !line.starts_with("## "));
    let part: Vec<&str> =
        lines.enumerate().take_while(|(at, line)| *at == 0 || !line.starts_with("## ")).map(|(_, line)| line).collect();
    let part = part.join("\n");
    if !part.trim().contains('\n') {
        let cure = "Write what changed below its newest heading: `## [1.2.3] - 2026-01-31`, or `## [Unreleased]`.";
        return Err(Failure::new("docs/CHANGELOG.md says nothing of this release", cure));
    }
    Ok(part.trim_end().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_are_the_newest_part_of_the_changelog() {
        let changelog = "# Changelog\n\nThe form.\n\n## [2.0.0]\n\n### Added\n\n- This.\n\n## [1.0.0]\n\n- That.\n";
        assert_eq!(newest(changelog).unwrap(), "## [2.0.0]\n\n### Added\n\n- This.\n");
        assert_eq!(newest("# Changelog\n\n## [1.0.0]\n\n- That.").unwrap(), "## [1.0.0]\n\n- That.\n");
        for empty in ["# Changelog\n", "## [2.0.0]\n\n## [1.0.0]\n\n- That.\n", ""] {
            assert!(newest(empty).is_err(), "{empty}");
        }
    }
}
