//! Text laid out for a terminal: a line that is too long goes on under its own column, and wide characters break where a reader would.

use unicode_width::UnicodeWidthChar;

/// Where a row's text begins at most, in cells: behind the mark and the name of a probe.
const COLUMN_MAX: usize = 26;
/// A narrower column is not worth keeping to.
const TEXT_MIN: usize = 24;
/// Signs that may not begin a line.
const CLOSING: &str = "\u{ff0c}\u{3002}\u{ff1b}\u{ff1a}\u{3001}\u{ff09}\u{300d}\u{300f}\u{201d}\u{2019}\u{ff01}\u{ff1f},.;:)]}%\u{2026}";
/// Signs that may not end one.
const OPENING: &str = "\u{ff08}\u{300c}\u{300e}\u{201c}\u{2018}([{";

/// `text` in lines of at most `columns` cells. Colours take no cell; words and commands stay whole where they fit on a line.
#[must_use]
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        if columns < TEXT_MIN || cells(body) <= columns {
            out.push_str(body);
        } else {
            fold(body, columns, &mut out);
        }
        out.push_str(end);
    }
    out
}

/// One long line.
fn fold(line: &str, columns: usize, out: &mut String) {
    let indent = Some(column_of(line)).filter(|column| column + TEXT_MIN <= columns).unwrap_or(2);
    let pieces = pieces(line);
    let mut used = 0;
    for (n, piece) in pieces.iter().enumerate() {
        let is_gap = piece.text.trim().is_empty();
        // A label and its value stay together where that is no great loss.
        let next = pieces.get(n + 1).filter(|_| is_gap && piece.width >= 2).map_or(0, |_| group(&pieces[n + 1..]));
        let needs = if is_gap { piece.width + next.min(columns / 3) } else { piece.width };
        if used > indent && used + needs > columns {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = indent;
            if is_gap {
                continue;
            }
        }
        if is_gap && used == indent && out.ends_with(&format!("\n{}", " ".repeat(indent))) {
            continue;
        }
        if piece.width + indent > columns {
            used = hard(piece.text, columns, indent, used, out);
        } else {
            out.push_str(piece.text);
            used += piece.width;
        }
    }
}

/// A word that is longer than a line.
fn hard(word: &str, columns: usize, indent: usize, mut used: usize, out: &mut String) -> usize {
    for c in word.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = indent;
        }
        out.push(c);
        used += width;
    }
    used
}

/// How far the cells reach up to the next gap of two.
fn group(pieces: &[Piece<'_>]) -> usize {
    pieces.iter().take_while(|piece| !(piece.text.trim().is_empty() && piece.width >= 2)).map(|piece| piece.width).sum()
}

/// A part that is not broken, and the cells it takes.
struct Piece<'a> {
    text: &'a str,
    width: usize,
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before: Option<char> = None;
    let (mut in_colour, mut in_command) = (false, false);
    for (at, c) in line.char_indices() {
        // A command that is copied out of the middle of a fold would not run.
        let is_break = !in_colour && !in_command && c != '\u{1b}' && before.is_some_and(|before| may_break(before, c));
        if is_break {
            pieces.push(Piece { text: &line[start..at], width: cells(&line[start..at]) });
            start = at;
        }
        if c == '\u{1b}' {
            in_colour = true;
        } else if in_colour {
            in_colour = c != 'm';
        } else {
            in_command ^= c == '`';
            before = Some(c);
        }
    }
    pieces.push(Piece { text: &line[start..], width: cells(&line[start..]) });
    pieces
}

fn may_break(before: char, after: char) -> bool {
    match (before == ' ', after == ' ') {
        (true, true) => false,
        (true, false) | (false, true) => true,
        (false, false) => {
            let is_wide = |c: char| c.width() == Some(2);
            (is_wide(before) || is_wide(after)) && !CLOSING.contains(after) && !OPENING.contains(before)
        }
    }
}

/// Where the text of a row begins: behind the last gap of two spaces near its beginning, and behind the number of a step.
fn column_of(line: &str) -> usize {
    let bare = bare(line);
    let (mut column, mut spaces, mut found) = (0, 0, 0);
    let mut rest = "";
    for (at, c) in bare.char_indices() {
        if c == ' ' {
            spaces += 1;
        } else {
            if spaces >= 2 && column <= COLUMN_MAX {
                (found, rest) = (column, &bare[at..]);
            } else if spaces >= 1 && column > COLUMN_MAX {
                break;
            }
            spaces = 0;
        }
        column += c.width().unwrap_or(0);
    }
    let number = rest.split(' ').next().unwrap_or_default();
    let is_step = (1..=3).contains(&number.len()) && number.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_digit());
    if is_step && !number.is_empty() { found + number.len() + 1 } else { found.max(2) }
}

/// Cells of a line, without its colours.
fn cells(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(bare(line).as_str())
}

fn bare(line: &str) -> String {
    line.split('\u{1b}')
        .enumerate()
        .map(|(n, part)| if n == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_on_under_its_own_column() {
        let text =
            "  also          W-STREAM-010 the headers are lost on the way here\n  check first   1 look at the first of all hops again\n";
        let folded = "  also          W-STREAM-010 the headers\n                are lost on the way here\n  check first   1 look at the first of all\n                  hops again\n";
        assert_eq!(wrapped(text, 42), folded);
    }

    #[test]
    fn wide_characters_break_anywhere_but_before_closing_signs() {
        let text = format!("  原因          {}\u{3002}改好之前不要重试", "压缩".repeat(6));
        // The sign would not fit, so the character before it goes down with it.
        let folded =
            format!("  原因          {}\n                缩\u{3002}改好之前不要重试", "压缩".repeat(6).strip_suffix('缩').unwrap());
        assert_eq!(wrapped(&text, 40), folded);
    }

    #[test]
    fn nothing_is_lost_and_no_line_is_too_long_at_any_width() {
        let text = "weir doctor 0.1.0   http://a.example.com:8080   模型 一个很长的模型名字(默认)   key sk-…9aZk (WEIR_KEY)\n  \u{1b}[31;1m[FAIL]\u{1b}[0m P6 as browser  42 data lines, all within 9 ms at 6.0 s   (gzip)\n  响应头        content-type text/event-stream; charset=utf-8   cache-control no-cache\n\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
        let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        for columns in TEXT_MIN..130 {
            let folded = wrapped(text, columns);
            assert_eq!(squeezed(&folded), squeezed(text), "{columns}");
            assert!(folded.lines().all(|line| cells(line) <= columns), "{columns}:\n{folded}");
        }
        assert_eq!(wrapped(text, 400), text);
        assert_eq!(wrapped(text, 10), text, "too narrow to help");
    }
}
