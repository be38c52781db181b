//! The secrets of a local cloud: the key of its AWS account, and the one in its intake's address.

use crate::failure::{OrFail, Result};
use crate::random_hex;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const BYTES: usize = 20;

/// Hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secrets {
    pub(crate) secret_key: String,
    pub(crate) intake_key: String,
}

impl Secrets {
    /// New ones.
    pub(crate) fn new() -> Self {
        Self { secret_key: random_hex(BYTES), intake_key: random_hex(BYTES) }
    }

    /// Those of the run before on the same ports, so that its addresses stay right; or else new ones, which are kept.
    pub(crate) fn of_ports(target: &Path, first: u16) -> Result<Self> {
        const STEP: &str = "keep the secrets of these ports";
        let path = target.join(format!("secrets-{first}"));
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if let [secret_key, intake_key] = kept.lines().collect::<Vec<_>>()[..]
            && [secret_key, intake_key].iter().all(|key| key.len() == 2 * BYTES)
        {
            return Ok(Self { secret_key: secret_key.to_owned(), intake_key: intake_key.to_owned() });
        }
        let new = Self::new();
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let text = format!("{}\n{}\n", new.secret_key, new.intake_key);
        file.and_then(|mut file| file.write_all(text.as_bytes())).or_fail(STEP)?;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_ports_have_the_same_secrets_whatever_is_left_of_a_file() {
        let target = tempfile::tempdir().unwrap();
        let of_ports = |first| Secrets::of_ports(target.path(), first).unwrap();
        let one = of_ports(8100);
        assert_eq!(of_ports(8100), one);
        assert_ne!(of_ports(8200), one);
        fs::write(target.path().join("secrets-8100"), "half").unwrap();
        let new = of_ports(8100);
        assert_eq!(of_ports(8100), new);
        assert_ne!(new, one);
    }
}
