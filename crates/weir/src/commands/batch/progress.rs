//! One line that says how a run stands, on a terminal; nothing anywhere else.

use std::{
    collections::VecDeque,
    io::{IsTerminal, Write, stderr},
    time::Duration,
};

use unicode_width::UnicodeWidthChar;
use weir_client::batch::{Snapshot, Why};
use weir_core::{Lang, Timestamp};

use super::start::units;
use crate::{
    commands::words::local_clock,
    lang::{pick, text},
    shell::Shell,
};

/// The rate is that of the last half minute.
const RATE_OVER: Duration = Duration::from_secs(30);
/// Points of the rate that are kept.
const POINTS: usize = 200;
const BAR_CELLS: u64 = 20;
/// Cells of a terminal that does not tell its width.
const USUAL_CELLS: usize = 100;

/// See the module.
pub(super) struct Progress {
    lang: Lang,
    is_shown: bool,
    points: VecDeque<(Timestamp, u64)>,
    is_on_screen: bool,
}

impl Progress {
    pub(super) fn new(shell: &Shell) -> Self {
        let is_shown = stderr().is_terminal() && !shell.flags.json;
        Self { lang: shell.lang, is_shown, points: VecDeque::new(), is_on_screen: false }
    }

    pub(super) fn show(&mut self, seen: &Snapshot) {
        if !self.is_shown {
            return;
        }
        self.points.push_back((seen.now, seen.done()));
        while self.points.len() > POINTS || self.points.front().is_some_and(|(at, _)| seen.now.since(*at) > RATE_OVER) {
            self.points.pop_front();
        }
        let per_minute = self.points.front().and_then(|(at, done)| {
            let span = u64::try_from(seen.now.since(*at).as_millis()).ok().filter(|span| *span >= 500)?;
            Some((seen.done() - done) * 60_000 / span)
        });
        let cells = rustix::termios::tcgetwinsize(stderr()).map_or(USUAL_CELLS, |size| usize::from(size.ws_col).max(20));
        let line = cut(&line(self.lang, seen, per_minute), cells - 1);
        // Whoever closed the terminal does not read it.
        let _ = write!(stderr().lock(), "\r{line}\u{1b}[K");
        self.is_on_screen = true;
    }

    /// Takes the line away before other words come.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_on_screen) {
            let _ = write!(stderr().lock(), "\r\u{1b}[K");
        }
    }
}

/// As much of a line as fits.
fn cut(line: &str, cells: usize) -> String {
    let mut left = cells;
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    line.chars().take_while(fits).collect()
}

/// A number with a mark between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `6:24`, `1:06:24`.
pub(super) fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn line(lang: Lang, seen: &Snapshot, per_minute: Option<u64>) -> String {
    let (done, rows) = (seen.done(), seen.rows.max(1));
    let filled = done * BAR_CELLS / rows;
    let bar: String = (0..BAR_CELLS).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    let mut parts = vec![format!("{bar} {} %", done * 100 / rows), format!("{}/{}", grouped(done), grouped(seen.rows))];
    if let Some(rate) = per_minute {
        let rate_text = grouped(rate);
        parts.push(text!("{rate_text}/分", "{rate_text}/min").in_lang(lang).to_owned());
        if let Some(left) = (seen.left() * 60).checked_div(rate) {
            parts.push(format!("{} {}", pick(lang, "剩余", "ETA"), clock(Duration::from_secs(left))));
        }
    }
    let running = seen.running;
    parts.push(text!("进行中 {running}", "{running} running").in_lang(lang).to_owned());
    if seen.jobs > 0 {
        let jobs = seen.jobs;
        parts.push(text!("任务 {jobs}", "{jobs} jobs").in_lang(lang).to_owned());
    }
    if seen.tally.refused > 0 {
        parts.push(format!("429 {}", grouped(seen.tally.refused)));
    }
    if seen.failed + seen.bad > 0 {
        let failed = grouped(seen.failed + seen.bad);
        parts.push(text!("失败 {failed}", "{failed} failed").in_lang(lang).to_owned());
    }
    parts.push(format!("{} {}", pick(lang, "调用", "calls"), grouped(seen.tally.calls)));
    if seen.spent > 0 {
        parts.push(format!("{} {}", pick(lang, "花费", "spent"), units(seen.spent)));
    }
    if let Some((until, why)) = seen.paused.filter(|(until, _)| until.since(seen.now) >= Duration::from_secs(1)) {
        let at = local_clock(until);
        let what = match why {
            Why::Told => pick(lang, "服务器说的时间", "as the server told"),
            Why::Requests => pick(lang, "每分钟请求数", "requests a minute"),
            Why::Tokens => pick(lang, "每分钟 token 数", "tokens a minute"),
        };
        parts.push(text!("等到 {at}({what})", "waiting until {at} ({what})").in_lang(lang).to_owned());
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 384, 4_000].map(|seconds| clock(Duration::from_secs(seconds))), ["0:05", "6:24", "1:06:40"]);
    }

    #[test]
    fn a_line_is_cut_by_cells() {
        assert_eq!(cut("ab剩余c", 5), "ab剩");
        assert_eq!(cut("abc", 5), "abc");
    }
}
