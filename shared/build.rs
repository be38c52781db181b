//! Finds the languages of the mail: every file in `src/mail/languages` that ends with `.json` is one.

use std::path::PathBuf;
use std::{env, fs, io};

const LANGUAGES: &str = "src/mail/languages";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={LANGUAGES}");
    let mut codes = Vec::new();
    for entry in fs::read_dir(LANGUAGES)? {
        let name = entry?.file_name().into_string().map_err(|_| io::Error::other("a file name is not UTF-8"))?;
        codes.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    codes.sort();
    let entries: String = codes
        .iter()
        .map(|code| {
            format!(
                "(\"{code}\", include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{LANGUAGES}/{code}.json\"))),\n"
            )
        })
        .collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    fs::write(out.join("languages.rs"), format!("&[\n{entries}]\n"))
}
