//! Pages of `docs/` that simulated worlds produce: compared with what is committed, or written anew when that was asked for.

use std::{fs, path::PathBuf};

/// Set by `cargo xtask gen --simulated`: write the pages instead of comparing them.
const WRITE: &str = "WEIR_WRITE_DOCS";
/// Lines of a difference that are shown.
const SHOWN: usize = 40;

/// Asserts that the page is committed as it was made.
pub(super) fn is_there(name: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    #[expect(clippy::disallowed_methods, reason = "whether pages are written is told by whoever runs the tests")]
    let write = std::env::var(WRITE).is_ok();
    if write {
        fs::write(&path, made).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/{name} is not what the simulated calls came to; if they are right, run `cargo xtask gen --simulated`\n{}",
        difference(&there, made)
    );
}

/// The lines that only one of the two has, in their order.
fn difference(there: &str, made: &str) -> String {
    let only = |of: &str, other: &str, sign| -> Vec<String> {
        let known: std::collections::BTreeSet<&str> = other.lines().collect();
        of.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only(there, made, '-');
    lines.extend(only(made, there, '+'));
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("… and {more} more lines"));
    }
    lines.join("\n")
}

#[test]
fn a_difference_shows_the_lines_that_changed_and_no_others() {
    assert_eq!(difference("a\nb\nc", "a\nB\nc"), "- b\n+ B");
    assert_eq!(difference("", &"x\n".repeat(3)), "+ x\n+ x\n+ x");
}
