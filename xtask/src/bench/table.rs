//! Medians of all rounds, side by side, with the ratio.

use std::{collections::BTreeMap, fmt::Write};

/// One thing that is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    RateOfOne,
    RateOfMany,
    CpuPerRequest,
    CpuPerEvent,
    DelayMiddle,
    DelayTail,
    FirstMiddle,
    FirstTail,
    MemoryPerStream,
    MemoryIdle,
    Start,
}

impl Measure {
    const fn words(self) -> &'static str {
        match self {
            Self::RateOfOne => "requests per second, 1 connection",
            Self::RateOfMany => "requests per second, 64 connections",
            Self::CpuPerRequest => "CPU per request at 64 connections, µs",
            Self::CpuPerEvent => "CPU per stream event, µs",
            Self::DelayMiddle => "delay per event, p50, µs",
            Self::DelayTail => "delay per event, p99, µs",
            Self::FirstMiddle => "request to first event, p50, µs",
            Self::FirstTail => "request to first event, p99, µs",
            Self::MemoryPerStream => "memory per open stream, KiB",
            Self::MemoryIdle => "idle memory, MiB",
            Self::Start => "start to first answer, ms",
        }
    }
}

/// Which column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Direct,
    Nginx,
    Weir,
}

/// All figures of all rounds.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<(Measure, Way), Vec<f64>>);

impl Table {
    pub(super) fn add(&mut self, measure: Measure, way: Way, figure: f64) {
        self.0.entry((measure, way)).or_default().push(figure);
    }

    fn median(&self, measure: Measure, way: Way) -> Option<f64> {
        let mut figures = self.0.get(&(measure, way))?.clone();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        Some(if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) })
    }

    /// The table in Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = "| measure | direct | nginx | weir | weir ÷ nginx |\n| --- | ---: | ---: | ---: | ---: |\n".to_owned();
        let mut measures: Vec<_> = self.0.keys().map(|(measure, _)| *measure).collect();
        measures.dedup();
        for measure in measures {
            let [direct, nginx, weir] = [Way::Direct, Way::Nginx, Way::Weir].map(|way| self.median(measure, way));
            let ratio = nginx.zip(weir).filter(|(nginx, _)| *nginx > 0.0).map(|(nginx, weir)| weir / nginx);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {} | {} | {} | {ratio} |", measure.words(), shown(direct), shown(nginx), shown(weir));
        }
        text
    }
}

fn shown(figure: Option<f64>) -> String {
    match figure {
        None => String::new(),
        Some(figure) if figure >= 1000.0 => format!("{figure:.0}"),
        Some(figure) => format!("{figure:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let mut table = Table::default();
        for figure in [3.0, 1.0, 2.0] {
            table.add(Measure::CpuPerRequest, Way::Nginx, figure);
        }
        for figure in [4.0, 2.0] {
            table.add(Measure::CpuPerRequest, Way::Weir, figure);
        }
        let text = table.markdown();
        assert_eq!(text.lines().last(), Some("| CPU per request at 64 connections, µs |  | 2.0 | 3.0 | 1.50 |"));
    }
}
