//! "Did you mean …?": the known name nearest to a written one.

/// The nearest of `known`, if it is near enough to be a slip of the finger: at most a third of the letters differ, or two.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = written.chars().count();
    let bound = if letters < 4 { 1 } else { (letters / 3).max(2) };
    known.into_iter().map(|name| (distance(written, name), name)).filter(|(far, _)| *far <= bound).min().map(|(_, name)| name)
}

/// How many letters must be added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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

    #[test]
    fn the_distance_is_symmetric() {
        for (a, b, far) in [("", "abc", 3), ("kitten", "sitting", 3), ("模型", "模型s", 1)] {
            assert_eq!((distance(a, b), distance(b, a)), (far, far));
        }
    }
}
