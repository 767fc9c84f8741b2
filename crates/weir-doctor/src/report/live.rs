//! What a run shows while it goes on, line by line: which probe runs, what was found, and when the events of a stream came.
//!
//! Pure: progress and a size go in, lines come out. Whoever owns the terminal draws them over the lines before.

use std::time::Duration;

use unicode_width::UnicodeWidthChar;
use weir_core::Lang;

use super::{
    Layout, TIMELINE_MAX, TimelinePoint,
    chart::{Marks, SHOWN_MS, axis_label, axis_ms, strip},
    line_of_check, plan_line, words,
};
use crate::probe::{ProbeId, Progress};

/// A narrower terminal gets no strips.
const NARROWEST: usize = 40;
/// A strip grows no further, however wide the terminal is.
const WIDEST: usize = 200;
/// Cells in front of a strip, and behind it for the end of its axis.
const MARGINS: (usize, usize) = (17, 7);
const SPINNER: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
const ASCII_SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// A run as far as it is known.
#[derive(Debug, Clone)]
pub struct Live {
    lang: Lang,
    layout: Layout,
    plan: Option<String>,
    /// Finished probes: the line, and the strip of a stream.
    done: Vec<(String, Option<Lane>)>,
    running: Option<ProbeId>,
    /// One that began before it and is not over.
    beside: Option<ProbeId>,
    lane: Option<Lane>,
}

/// The arrivals of one stream.
#[derive(Debug, Clone)]
struct Lane {
    probe: ProbeId,
    points: Vec<TimelinePoint>,
    events: u32,
    until_ms: u32,
}

impl Lane {
    fn new(probe: ProbeId) -> Self {
        Self { probe, points: Vec::new(), events: 0, until_ms: 0 }
    }
}

impl Live {
    #[must_use]
    pub fn new(lang: Lang, layout: Layout) -> Self {
        Self { lang, layout, plan: None, done: Vec::new(), running: None, beside: None, lane: None }
    }

    /// Takes what happened.
    pub fn see(&mut self, progress: &Progress) {
        match progress {
            Progress::Planned { cost, .. } => {
                self.plan = Some(plan_line(cost.requests, cost.max_output_tokens, cost.seconds, self.lang));
            }
            Progress::Started(probe) => {
                let streams = matches!(probe, ProbeId::P5 | ProbeId::P6 | ProbeId::P7 | ProbeId::P12 | ProbeId::P13);
                self.beside = self.running.filter(|before| (*before, *probe) == (ProbeId::P4, ProbeId::P5));
                (self.running, self.lane) = (Some(*probe), streams.then(|| Lane::new(*probe)));
            }
            Progress::Arrived { probe, at, events, bytes } => self.arrived(*probe, *at, *events, *bytes),
            Progress::Finished(check) => {
                // Of two that run side by side the other goes on.
                let own = self.lane.take_if(|lane| lane.probe == check.id);
                let lane = own.filter(|lane| lane.events > 0).map(|mut lane| {
                    lane.until_ms = lane.until_ms.max(check.observed.total_ms.unwrap_or(0));
                    lane
                });
                for waiting in [&mut self.running, &mut self.beside] {
                    waiting.take_if(|running| *running == check.id);
                }
                self.done.push((line_of_check(check, self.lang, self.layout), lane));
            }
        }
    }

    fn arrived(&mut self, probe: ProbeId, at: Duration, events: u32, bytes: u64) {
        let at_ms = u32::try_from(at.as_millis()).unwrap_or(u32::MAX);
        let lane = self.lane.get_or_insert_with(|| Lane::new(probe));
        lane.events = lane.events.saturating_add(events);
        lane.until_ms = at_ms;
        let point = TimelinePoint { at_ms, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), events };
        let is_full = lane.points.len() >= TIMELINE_MAX;
        match lane.points.last_mut().filter(|_| is_full) {
            // Beyond the bound neighbours are joined.
            Some(last) => last.events = last.events.saturating_add(events),
            None => lane.points.push(point),
        }
    }

    /// The lines of this moment, at most `rows` of at most `columns` cells; `since` is how long the running probe runs.
    #[must_use]
    pub fn frame(&self, since: Duration, columns: usize, rows: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.plan.iter().map(|plan| plan.trim_end().to_owned()).collect();
        for (line, lane) in &self.done {
            lines.push(line.trim_end().to_owned());
            lines.extend(lane.as_ref().and_then(|lane| self.strip(lane, "", lane.until_ms, columns)));
        }
        if let Some(probe) = self.beside {
            let still = if self.lang == Lang::Zh { "还在等" } else { "still waiting" };
            let mark = if self.layout.ascii { "." } else { "…" };
            lines.push(format!("  {mark}      {probe} {}  {still}", probe.label().in_lang(self.lang)));
        }
        if let Some(probe) = self.running {
            let elapsed = u32::try_from(since.as_millis()).unwrap_or(u32::MAX);
            let beat = usize::try_from(since.as_millis() / 120).unwrap_or(0);
            let turn = if self.layout.ascii { ASCII_SPINNER[beat % ASCII_SPINNER.len()] } else { SPINNER[beat % SPINNER.len()] };
            let (name, span) = (probe.label(), words::span(since, self.lang));
            let events = self.lane.as_ref().map_or_else(String::new, |lane| match self.lang {
                Lang::Zh => format!("  {} 个事件", lane.events),
                Lang::En => format!("  {} events", lane.events),
            });
            lines.push(format!("  {turn}      {probe} {}  {span}{events}", name.in_lang(self.lang)));
            lines.extend(self.lane.as_ref().and_then(|lane| self.strip(lane, "", elapsed.max(lane.until_ms), columns)));
        }
        let first = lines.len().saturating_sub(rows);
        lines.drain(..first);
        lines.iter().map(|line| clipped(line, columns)).collect()
    }

    /// What stays when the run is over: the strips, under each other on one axis. Nothing where nothing streamed.
    #[must_use]
    pub fn strips(&self, columns: usize) -> Vec<String> {
        let lanes: Vec<&Lane> = self.done.iter().filter_map(|(_, lane)| lane.as_ref()).collect();
        let Some(longest) = lanes.iter().map(|lane| lane.until_ms).max() else { return Vec::new() };
        let axis = axis_ms(longest);
        // A picture of less than that shows how fast the machine is, and nothing of the way.
        if longest < SHOWN_MS {
            return Vec::new();
        }
        let one = |lane: &&Lane| {
            let name = format!("{} {}", lane.probe, lane.probe.label().in_lang(self.lang));
            self.strip_on(lane, &name, lane.until_ms, axis, columns)
        };
        let strips: Vec<String> = lanes.iter().filter_map(one).collect();
        if strips.is_empty() {
            return strips;
        }
        let title = match self.lang {
            Lang::Zh => "事件到达的时刻:散开是逐条到达,全挤在末尾是被攒着再放",
            Lang::En => "when the events came: spread they flowed; all at the end they were held back",
        };
        std::iter::once(title.to_owned()).chain(strips).map(|line| clipped(&line, columns)).collect()
    }

    fn strip(&self, lane: &Lane, name: &str, until_ms: u32, columns: usize) -> Option<String> {
        self.strip_on(lane, name, until_ms, axis_ms(until_ms), columns)
    }

    fn strip_on(&self, lane: &Lane, name: &str, until_ms: u32, axis: u32, columns: usize) -> Option<String> {
        let cells = columns.min(WIDEST).checked_sub(MARGINS.0 + MARGINS.1).filter(|_| columns >= NARROWEST)?;
        let marks = if self.layout.ascii { Marks::Ascii } else { Marks::Blocks };
        let strip = strip(&lane.points, until_ms, axis, cells, marks);
        let gap = " ".repeat(MARGINS.0.saturating_sub(2 + width(name)));
        Some(format!("  {name}{gap}{strip} {}", axis_label(axis)))
    }
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A line cut to fewer than `columns` cells, so that it never wraps. Colours take no cell, and are switched off behind a cut.
fn clipped(line: &str, columns: usize) -> String {
    let (mut out, mut cells, mut in_colour, mut is_coloured) = (String::new(), 0, false, false);
    for c in line.chars() {
        if c == '\u{1b}' {
            (in_colour, is_coloured) = (true, true);
        } else if !in_colour {
            cells += c.width().unwrap_or(0);
            if cells >= columns {
                break;
            }
        } else if c.is_ascii_alphabetic() {
            in_colour = false;
        }
        out.push(c);
    }
    if is_coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Cost;

    fn run(lang: Lang, layout: Layout, arrivals: &[(u64, u32)]) -> Live {
        let mut live = Live::new(lang, layout);
        live.see(&Progress::Planned { probes: vec![ProbeId::P5], cost: Cost { requests: 3, max_output_tokens: 192, seconds: 120 } });
        live.see(&Progress::Started(ProbeId::P5));
        for (at_ms, events) in arrivals {
            live.see(&Progress::Arrived { probe: ProbeId::P5, at: Duration::from_millis(*at_ms), events: *events, bytes: 40 });
        }
        live
    }

    fn spread() -> Vec<(u64, u32)> {
        (1..=12).map(|i| (i * 150, 1)).collect()
    }

    #[test]
    fn no_line_is_as_wide_as_the_terminal_in_any_width_and_language() {
        for lang in [Lang::Zh, Lang::En] {
            for colour in [false, true] {
                let live = run(lang, Layout { colour, ..Layout::default() }, &spread());
                for columns in [1, 10, 39, 40, 41, 80, 120, 200, 400] {
                    for line in live.frame(Duration::from_secs(2), columns, 24) {
                        let bare: String = line
                            .split('\u{1b}')
                            .enumerate()
                            .map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) })
                            .collect();
                        assert!(width(&bare) < columns, "{columns}: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_more_lines_than_the_terminal_has_rows_and_the_newest_stay() {
        let lines = run(Lang::En, Layout::default(), &spread()).frame(Duration::from_secs(2), 80, 1);
        assert!(lines.len() == 1 && lines[0].contains('▂'), "{lines:?}");
    }

    #[test]
    fn a_stream_that_flows_and_one_that_was_held_back_look_different() {
        let shown = |arrivals: &[(u64, u32)]| {
            run(Lang::En, Layout { ascii: true, ..Layout::default() }, arrivals).frame(Duration::from_millis(1_900), 64, 24).join("\n")
        };
        insta::assert_snapshot!(format!("{}\n\n{}", shown(&spread()), shown(&[(1_850, 12)])));
    }

    #[test]
    fn streams_too_short_to_tell_anything_leave_no_picture() {
        let strips = |arrivals: &[(u64, u32)]| {
            let mut live = run(Lang::En, Layout::default(), arrivals);
            let lane = live.lane.take();
            live.done.push((String::new(), lane));
            live.strips(80)
        };
        assert_eq!(strips(&[(3, 12)]), Vec::<String>::new());
        assert_eq!(strips(&spread()).len(), 2);
    }

    #[test]
    fn plain_marks_are_plain() {
        let lines = run(Lang::En, Layout { ascii: true, ..Layout::default() }, &spread()).frame(Duration::from_secs(2), 80, 24);
        assert!(lines.concat().is_ascii(), "{lines:?}");
    }
}
