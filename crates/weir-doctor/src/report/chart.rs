//! When the bytes of a stream came, as a strip: one for terminals, one for pages. Spread marks flowed, one block at the end was held back.

use super::TimelinePoint;

/// Ends of a time axis, in milliseconds: numbers that people read at a glance.
const AXES: [u32; 16] =
    [500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000, 300_000];
/// Streams that were all shorter are not drawn, in milliseconds.
pub const SHOWN_MS: u32 = 500;
/// Marks for 1, 2, 3–4, 5–8 and more events in one cell.
const BLOCKS: [char; 5] = ['▂', '▃', '▅', '▆', '█'];
const ASCII: [char; 5] = ['.', ':', '+', '|', '#'];
/// The box of a strip on a page; it is stretched to the page's width, strokes are not.
const BOX: (u32, u32) = (1_000, 40);

/// Which marks a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    Blocks,
    Ascii,
}

/// The end of an axis that shows `until_ms`.
#[must_use]
pub fn axis_ms(until_ms: u32) -> u32 {
    AXES.into_iter().find(|end| *end >= until_ms).unwrap_or(until_ms)
}

/// `0.5 s`, `3 s`: the end of an axis.
#[must_use]
pub fn axis_label(ms: u32) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    match rest {
        0 => format!("{whole} s"),
        _ if rest.is_multiple_of(100) => format!("{whole}.{} s", rest / 100),
        _ => format!("{whole}.{:02} s", rest / 10),
    }
}

/// A strip of `cells` cells for the time from 0 to `axis_ms`; what lies beyond `until_ms` has not happened.
#[must_use]
pub fn strip(points: &[TimelinePoint], until_ms: u32, axis_ms: u32, cells: usize, marks: Marks) -> String {
    let mut counts = vec![0u32; cells];
    for point in points {
        if let Some(count) = cell(point.at_ms, axis_ms, cells).and_then(|at| counts.get_mut(at)) {
            *count = count.saturating_add(point.events);
        }
    }
    let now = cell(until_ms, axis_ms, cells).unwrap_or(cells);
    let (quiet, shown) = match marks {
        Marks::Blocks => ('·', BLOCKS),
        Marks::Ascii => ('-', ASCII),
    };
    let mark = |(at, count): (usize, &u32)| match level(*count) {
        Some(level) => shown[level],
        None if at <= now => quiet,
        None => ' ',
    };
    counts.iter().enumerate().map(mark).collect()
}

fn cell(at_ms: u32, axis_ms: u32, cells: usize) -> Option<usize> {
    let last = u64::try_from(cells).ok()?.checked_sub(1)?;
    let at = u64::from(at_ms).saturating_mul(last + 1).checked_div(u64::from(axis_ms.max(1)))?;
    usize::try_from(at.min(last)).ok()
}

/// How high so many events stand; none for none.
fn level(events: u32) -> Option<usize> {
    match events {
        0 => None,
        1 => Some(0),
        2 => Some(1),
        3..=4 => Some(2),
        5..=8 => Some(3),
        _ => Some(4),
    }
}

/// The strokes of a strip for a page: one path, made of numbers alone.
#[must_use]
pub fn path(points: &[TimelinePoint], axis_ms: u32) -> String {
    let (width, height) = BOX;
    points.iter().filter(|point| point.events > 0).fold(String::new(), |path, point| {
        let tenths = (u64::from(point.at_ms) * u64::from(width) * 10 / u64::from(axis_ms.max(1))).min(u64::from(width) * 10);
        let top = match level(point.events) {
            Some(0) | None => 22,
            Some(1) => 18,
            Some(2) => 13,
            Some(3) => 8,
            Some(_) => 2,
        };
        path + &format!("M{}.{} {height}V{top}", tenths / 10, tenths % 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: u32, events: u32) -> TimelinePoint {
        TimelinePoint { at_ms, bytes: events * 40, events }
    }

    #[test]
    fn what_flowed_is_spread_and_what_was_held_back_stands_in_one_place() {
        let spread: Vec<_> = (1..=10).map(|i| point(i * 190, 1)).collect();
        let shown = |points: &[TimelinePoint], marks| strip(points, 1_900, 2_000, 20, marks);
        assert_eq!(shown(&spread, Marks::Blocks), "·▂·▂·▂·▂·▂·▂·▂·▂·▂·▂");
        assert_eq!(shown(&[point(1_880, 10)], Marks::Blocks), "··················█·");
        assert_eq!(shown(&[point(1_880, 10)], Marks::Ascii), "------------------#-");
    }

    #[test]
    fn the_time_to_come_is_empty() {
        assert_eq!(strip(&[point(500, 1)], 1_000, 2_000, 10, Marks::Ascii), "--.---    ");
        assert_eq!(strip(&[point(500, 1)], 1_000, 0, 0, Marks::Ascii), "");
    }

    #[test]
    fn an_axis_ends_at_a_round_time_that_holds_all() {
        assert_eq!((axis_ms(0), axis_ms(501), axis_ms(6_022), axis_ms(400_000)), (500, 1_000, 7_000, 400_000));
        for (ms, label) in [(500, "0.5 s"), (250, "0.25 s"), (7_000, "7 s"), (7_500, "7.5 s"), (1_050, "1.05 s")] {
            assert_eq!(axis_label(ms), label);
        }
    }

    #[test]
    fn a_path_stays_in_its_box() {
        assert_eq!(path(&[point(0, 1), point(500, 3), point(9_000, 40)], 1_000), "M0.0 40V22M500.0 40V13M1000.0 40V2");
    }
}
