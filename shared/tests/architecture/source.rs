//! What a source file names: modules of the library, and crates.

use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Meta, UseTree};

/// The paths that a file names outside of its tests, each as its segments. `crate`, `super` and `self` are written out.
pub(crate) fn paths(file: &str, source: &str) -> BTreeSet<Vec<String>> {
    let parsed = syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut paths = Paths { module: module(file), found: BTreeSet::new() };
    paths.visit_file(&parsed);
    paths.found
}

/// The path of a file's module: `shared/src/mail/ses/send.rs` is `["mail", "ses", "send"]`.
pub(crate) fn module(file: &str) -> Vec<String> {
    let path = file.split_once("/src/").map_or(file, |(_, path)| path);
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// How many lines a file has before its tests, which stand at its end.
pub(crate) fn lines(source: &str) -> usize {
    let tests = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    source[..tests].lines().count()
}

/// The modules of this file that are built for tests only: `#[cfg(test)] mod tests;`
pub(crate) fn test_modules(source: &str) -> Vec<String> {
    let lines: Vec<_> = source.lines().collect();
    let names = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    names.filter_map(|pair| Some(pair[1].trim().strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

struct Paths {
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    fn note(&mut self, segments: &[String]) {
        let mut parents = 0;
        let mut absolute = match segments.first().map(String::as_str) {
            Some("super" | "self") => {
                parents = segments.iter().take_while(|segment| *segment == "super").count();
                let kept = self.module.len().saturating_sub(parents);
                [&["crate".to_owned()], &self.module[..kept]].concat()
            }
            _ => Vec::new(),
        };
        let rest = if segments.first().is_some_and(|first| first == "self") { 1 } else { parents };
        absolute.extend_from_slice(&segments[rest..]);
        self.found.insert(absolute);
    }

    fn note_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.note_tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(before, tree)),
            UseTree::Name(name) if name.ident == "self" => self.note(before),
            UseTree::Name(name) => self.note(&with(name.ident.to_string())),
            UseTree::Rename(rename) => self.note(&with(rename.ident.to_string())),
            UseTree::Glob(_) => self.note(before),
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

impl Visit<'_> for Paths {
    fn visit_item(&mut self, item: &Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments);
        }
        visit::visit_path(self, path);
    }

    // What stands in a macro is not parsed: its paths are found in its text.
    fn visit_macro(&mut self, found: &Macro) {
        self.visit_path(&found.path);
        let text = found.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
        for word in words.filter(|word| word.contains("::") && !word.starts_with(':')) {
            self.note(&word.split("::").map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
