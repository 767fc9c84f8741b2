//! "Did you mean …?": the known name nearest to a written one.

/// The nearest of `known`, if it is near enough to be a slip of the finger: at most a third of the letters differ, or two.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = written.chars().count();
    let bound = if letters < 4 { 1 } else { (letters / 3).max(2) };
    known.into_iter().map(|name| (strsim::levenshtein(written, name), name)).filter(|(far, _)| *far <= bound).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let known = ["listen", "grace", "heartbeat", "open_early"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("heart_beat", known), Some("heartbeat"));
        assert_eq!(nearest("grcae", known), Some("grace"));
        assert_eq!(nearest("banana", known), None);
    }
}
