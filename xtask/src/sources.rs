//! Which files belong to the repository: those that git knows or would add.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Outcome;

/// A file of the repository, with its path from the root written with slashes.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) full: PathBuf,
}

impl Source {
    /// The text, or nothing if it is not text.
    pub(crate) fn text(&self) -> Option<String> {
        fs::read(&self.full).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|text| text.to_str()).unwrap_or_default()
    }

    /// Whether it is written in a language that tests and shells are written in.
    pub(crate) fn is_code(&self) -> bool {
        matches!(self.extension(), "rs" | "py" | "js" | "mjs" | "ts")
    }
}

/// Every file, sorted by path. A file that git lists but that is deleted is left out.
pub(crate) fn all(root: &Path) -> Outcome<Vec<Source>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if !listed.status.success() {
        return Err("git does not list the files of this folder".into());
    }
    let mut sources: Vec<_> = String::from_utf8(listed.stdout)?
        .split_terminator('\0')
        .map(|path| Source { path: path.into(), full: root.join(path) })
        .filter(|source| source.full.is_file())
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}
