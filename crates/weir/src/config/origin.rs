//! Where each key of a configuration was written: a place in the file, or an environment variable.

use std::{collections::BTreeMap, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where to point for a key path.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    file: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
    text: String,
    keys: BTreeMap<String, Range<usize>>,
    values: BTreeMap<String, Range<usize>>,
    variables: BTreeMap<String, String>,
}

/// Which part of `key = value` is to be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

impl Origins {
    /// Notes where everything in `text` stands.
    pub(crate) fn of_file(file: &Path, text: &str, table: &DeTable<'_>) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut origins = Self { file: file.display().to_string(), lines, text: text.to_owned(), ..Self::default() };
        origins.note_table("", table);
        origins
    }

    fn note_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let below = join(path, key.get_ref());
            self.keys.insert(below.clone(), key.span());
            self.note(&below, value);
        }
    }

    fn note(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        self.values.insert(path.to_owned(), value.span());
        match value.get_ref() {
            DeValue::Table(table) => self.note_table(path, table),
            DeValue::Array(items) => items.iter().enumerate().for_each(|(i, item)| self.note(&format!("{path}[{i}]"), item)),
            _ => {}
        }
    }

    /// Notes that an environment variable set `path`.
    pub(crate) fn set_by(&mut self, path: &str, variable: &str) {
        self.variables.insert(path.to_owned(), variable.to_owned());
    }

    /// `weir.toml:3:7` or `WEIR_SERVER__LISTEN`; for a key that is not written, the nearest table that is.
    pub(crate) fn of(&self, path: &str, part: Part) -> String {
        let mut path = path;
        let mut part = part;
        loop {
            if let Some(variable) = self.variables.get(path) {
                return variable.clone();
            }
            let spans = if part == Part::Key { &self.keys } else { &self.values };
            if let Some(span) = spans.get(path).or_else(|| self.values.get(path)) {
                return self.at(span.start);
            }
            let Some(cut) = path.rfind(['.', '[']) else { return self.file.clone() };
            (path, part) = (&path[..cut], Part::Key);
        }
    }

    /// The place of a byte offset, lines and characters counted from 1.
    pub(crate) fn at(&self, offset: usize) -> String {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(begin..offset).map_or(0, |before| before.chars().count()) + 1;
        format!("{}:{line}:{column}", self.file)
    }

    /// For sorting faults into the order of the file.
    pub(crate) fn offset(&self, path: &str) -> usize {
        self.keys.get(path).or_else(|| self.values.get(path)).map_or(usize::MAX, |span| span.start)
    }
}

/// `a.b`, with quotes where a key is not a bare one.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}
