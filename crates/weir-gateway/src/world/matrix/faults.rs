//! The rows that an upstream makes: every word of the simulator's catalogue that spoils an answer.

use std::time::Duration;

use weir_sim::catalog::{Argument, CATALOG, Entry, Group, Term};

use super::super::{plan::Fate, rig::Order};

/// What users call the fault; the sections of the page, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Stream,
    Rate,
    Timeout,
    Upstream,
    Request,
}

impl Class {
    pub(super) const ALL: [Self; 5] = [Self::Stream, Self::Rate, Self::Timeout, Self::Upstream, Self::Request];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Stream => "Streams",
            Self::Rate => "429",
            Self::Timeout => "Timeouts",
            Self::Upstream => "Upstreams and connections",
            Self::Request => "Requests, keys and accounts",
        }
    }
}

/// One row: what goes wrong.
pub(super) struct Fault {
    pub(super) class: Class,
    /// As the page names it.
    pub(super) name: String,
    pub(super) what: String,
    /// The word of the catalogue that it is about.
    pub(super) word: Option<Term>,
    pub(super) scene: Scene,
}

/// What is set up for a call, and what the call asks.
pub(super) struct Scene {
    pub(super) model: String,
    pub(super) upstreams: usize,
    /// Changes the gateway before it starts.
    pub(super) order: fn(&mut Order),
    /// What becomes of connections to the first upstream: the next ones, then all others.
    pub(super) fates: (&'static [Fate], Fate),
    /// Laid under every answer of the first upstream.
    pub(super) always: &'static str,
    pub(super) ask: Asked,
    pub(super) meanwhile: Meanwhile,
}

/// What differs from a plain request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) method: Option<&'static str>,
    pub(super) path: Option<&'static str>,
    pub(super) body: Option<&'static str>,
    pub(super) content_type: Option<&'static str>,
    /// More lines of the head, each with its line end.
    pub(super) lines: &'static str,
    pub(super) key: Presented,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Presented {
    #[default]
    Own,
    None,
    Unknown,
}

/// What else happens while the call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meanwhile {
    Nothing,
    /// Its client leaves.
    Leaves(Duration),
    /// The gateway is told to stop, and waits for nobody.
    Drains(Duration),
    /// Other calls of the same key came first, a second apart; they may still run.
    Others {
        calls: u32,
        model: &'static str,
        caller: &'static str,
    },
}

impl Scene {
    pub(super) fn of(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            upstreams: 1,
            order: |_| {},
            fates: (&[], Fate::Good),
            always: "",
            ask: Asked::default(),
            meanwhile: Meanwhile::Nothing,
        }
    }
}

/// Refusals that a second attempt may outlive: each has a row where it strikes once.
const ONCE: &[Term] = &[
    Term::ErrorFirst,
    Term::CutAfter,
    Term::S408,
    Term::S409,
    Term::S425,
    Term::S429,
    Term::S429Hint,
    Term::S429Body,
    Term::S429Concurrency,
    Term::S429Upstream,
    Term::S429FirstEvent,
    Term::S500,
    Term::S502,
    Term::S503,
    Term::S529,
    Term::Proxy504Html,
    Term::ResetAfterAccept,
];

/// Whether a word spoils answers. Left out are words that only shape a good answer, words of chance, which decide when the others
/// strike, and words about image and video jobs, which are tested beside the tasks.
pub(super) fn concerns_an_answer(entry: &Entry) -> bool {
    entry.is_fault() && entry.group != Group::Task
}

pub(super) fn of_the_upstream() -> Vec<Fault> {
    let mut faults = Vec::new();
    for entry in CATALOG.iter().filter(|entry| concerns_an_answer(entry)) {
        for word in words(entry) {
            let scene = Scene::of(&format!("sim:tokens=8,{word}"));
            faults.push(Fault { class: class(entry), name: format!("`{word}`"), what: entry.en.to_owned(), word: Some(entry.term), scene });
        }
        if ONCE.contains(&entry.term) {
            let word = entry.model().replacen("sim:", "", 1).replacen(entry.name, &format!("{}_once", entry.name), 1);
            let scene = Scene::of(&format!("sim:tokens=8,{word}"));
            let what = "the same, the first time only".to_owned();
            faults.push(Fault { class: class(entry), name: format!("`{word}`"), what, word: Some(entry.term), scene });
        }
    }
    faults
}

/// A word as it may be written: with each of its choices, or with its example.
fn words(entry: &Entry) -> Vec<String> {
    match entry.argument {
        Argument::Choice(choices) => choices.iter().map(|choice| format!("{}={choice}", entry.name)).collect(),
        _ => vec![entry.model().replacen("sim:", "", 1)],
    }
}

fn class(entry: &Entry) -> Class {
    let of_the_request = [
        "400",
        "401",
        "401_disabled",
        "402",
        "403",
        "403_group",
        "403_ip",
        "404",
        "404_html",
        "407",
        "413",
        "422",
        "context_length",
        "content_policy",
        "echo_error",
    ];
    match (entry.group, entry.name) {
        (Group::Stream, _) => Class::Stream,
        (Group::Time, _) | (_, "504" | "proxy_504_html" | "408") => Class::Timeout,
        (_, name) if name.starts_with("429") || name == "slow_down" => Class::Rate,
        (_, name) if of_the_request.contains(&name) => Class::Request,
        _ => Class::Upstream,
    }
}
