//! Stage 1b: limits at work. A call is admitted by every holder that it concerns, or by none; what it holds is corrected when it ends.
//!
//! One lock guards all gates: a decision takes under a microsecond, and all-or-nothing over several gates needs no undoing. A call that
//! may wait stands in line (`line.rs`); whoever frees something lets in those whom it helps, the least served caller first.

mod line;
mod refuse;
mod tasks;
mod view;

#[cfg(test)]
mod laws;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use weir_core::{
    Clock, KeyId, LimitKind, LimitScope, Limits, RequestId, Timestamp,
    limit::{Ask, Blocked, CallerUse, Day, Gate, Held, Now, Opens, Spent, Standing, Steady, Used},
};
use weir_store::RecentCall;

pub(crate) use refuse::refusal;
pub(crate) use tasks::{LeftOpen, TASKS};
pub(crate) use view::limits_view;

use crate::door::Need;

/// A key, its parent, its account and its group.
const HOLDERS: usize = 4;

/// Whose limits a call must meet.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) scope: LimitScope,
    pub(crate) id: String,
    pub(crate) limits: Limits,
    /// Who shares it: callers share a key, keys an account, accounts a group.
    pub(crate) caller: String,
}

/// What a call asks of its holders.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The key's first; [`HOLDERS`] at most.
    pub(crate) holders: Vec<Holder>,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) unbounded: bool,
    pub(crate) amount: u64,
}

impl Wanted {
    /// What each attempt takes of its channel's limits.
    pub(crate) fn need(&self) -> Need {
        Need { input: self.input, output: self.output, unbounded: self.unbounded }
    }

    fn ask<'a>(&self, holder: &'a Holder, output: u64) -> Ask<'a> {
        Ask { caller: &holder.caller, input: self.input, output, unbounded: self.unbounded, amount: self.amount }
    }
}

/// What was used of a holder's day before this process saw it; asked once for each holder.
pub(crate) type Recall<'a> = &'a dyn Fn(&Holder, Day) -> Spent;

/// Why a call is not admitted now.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    pub(crate) scope: LimitScope,
    /// Which of its holders.
    at: usize,
    pub(crate) blocked: Blocked,
    pub(crate) now: Now,
    /// When it opens, on the wall, and the zone in which to say so.
    pub(crate) reset_at: Option<Timestamp>,
    pub(crate) zone: jiff::tz::TimeZone,
    /// Calls of this caller before the time it was told, this one included.
    pub(crate) early: u32,
    /// Another caller took at least half of the key.
    pub(crate) taken_by: Option<(String, u64)>,
}

/// How every limit of a call's holders stands.
pub(crate) type Standings = Vec<(LimitScope, Standing)>;

#[derive(Debug)]
struct State {
    steady: Steady,
    gates: Vec<Gate>,
    places: [HashMap<String, usize>; 3],
    /// Calls of the last minute before this process began, until their holder is first seen.
    before: HashMap<(LimitScope, String), Vec<(Timestamp, u64)>>,
    line: line::Line,
    /// What tasks are counted with until they end, by the calls that submitted them.
    tasks: HashMap<RequestId, tasks::Stay>,
}

/// All limits of one gateway.
pub(crate) struct Limiter {
    clock: Arc<dyn Clock>,
    began: Instant,
    state: Mutex<State>,
}

/// What an admission took, by the places of the gates in the order of the holders, and how the limits stood afterwards.
#[derive(Debug)]
pub(crate) struct Entered {
    held: Vec<(usize, Held)>,
    pub(crate) standings: Standings,
    pub(crate) now: Now,
}

/// What an admitted call holds. Dropped without [`Permit::end`], it keeps what it reserved and frees only its places.
#[must_use = "an admitted call must end its permit"]
pub(crate) struct Permit<'a> {
    limiter: &'a Limiter,
    wanted: Arc<Wanted>,
    pub(crate) entered: Entered,
}

impl Limiter {
    /// `before`: calls that were admitted within the last minute by a process that is gone; a crash opens no limit.
    pub(crate) fn new(clock: Arc<dyn Clock>, before: Vec<RecentCall>) -> Self {
        let mut by_holder: HashMap<(LimitScope, String), Vec<(Timestamp, u64)>> = HashMap::new();
        for call in before {
            let kids = [Some(call.kid), call.parent].into_iter().flatten().map(|kid| (LimitScope::Key, kid.as_str().to_owned()));
            let group = call.group.map(|group| (LimitScope::Group, group));
            for holder in kids.chain([(LimitScope::Account, call.account)]).chain(group) {
                by_holder.entry(holder).or_default().push((call.at, call.tokens));
            }
        }
        let state = State {
            steady: Steady::new(clock.now(), 0),
            gates: Vec::new(),
            places: Default::default(),
            before: by_holder,
            line: line::Line::default(),
            tasks: HashMap::new(),
        };
        Self { clock, began: Instant::now(), state: Mutex::new(state) }
    }

    fn lock(&self) -> (MutexGuard<'_, State>, Now) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = state.steady.read(self.clock.now(), own);
        (state, now)
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        self.lock().1
    }

    /// Admits a call that has just come, or says what blocks it.
    pub(crate) fn admit(&self, wanted: &Arc<Wanted>, recall: Recall<'_>) -> Result<Permit<'_>, Denied> {
        let (mut state, now) = self.lock();
        // Whoever waits came before.
        state.let_in(now, None);
        let early = state.arrives(wanted, now, recall);
        match state.enter(wanted, now, recall) {
            Ok(entered) => Ok(Permit { limiter: self, wanted: Arc::clone(wanted), entered }),
            Err((at, blocked)) => Err(state.denied(wanted, at, blocked, early, now)),
        }
    }

    /// Asks once more for a call that gave its place in line up.
    pub(crate) fn again(&self, wanted: &Arc<Wanted>, early: u32) -> Result<Permit<'_>, Denied> {
        let (mut state, now) = self.lock();
        match state.enter(wanted, now, &unseen) {
            Ok(entered) => Ok(Permit { limiter: self, wanted: Arc::clone(wanted), entered }),
            Err((at, blocked)) => Err(state.denied(wanted, at, blocked, early, now)),
        }
    }

    /// The denied call will be refused: its caller is expected at the time that it is told.
    pub(crate) fn tell(&self, wanted: &Wanted, denied: &mut Denied) {
        let (mut state, now) = self.lock();
        denied.taken_by = state.tell(wanted, denied, now);
    }

    /// How all limits of these holders stand now, and who uses the first of them.
    pub(crate) fn standings(&self, holders: &[Holder], recall: Recall<'_>) -> (Standings, Vec<CallerUse>, Now) {
        let (mut state, now) = self.lock();
        let mut standings = Vec::new();
        for holder in holders {
            let place = state.place(holder, now, recall);
            let gate = &mut state.gates[place];
            gate.advance(&holder.limits, now);
            standings.extend(gate.standings(&holder.limits, now).map(|standing| (holder.scope, standing)));
        }
        let first = holders.first().map(|holder| state.place(holder, now, recall));
        (standings, first.map(|place| state.gates[place].callers.uses(now.steady)).unwrap_or_default(), now)
    }

    /// Whether several callers used a key within the last minute.
    pub(crate) fn is_shared(&self, kid: &KeyId) -> bool {
        let (state, now) = self.lock();
        state.places[0].get(kid.as_str()).is_some_and(|place| state.gates[*place].callers.active(now.steady) > 1)
    }

    fn end(&self, wanted: &Wanted, held: &[(usize, Held)], used: &Used) {
        let (mut state, now) = self.lock();
        for ((place, held), holder) in held.iter().zip(&wanted.holders) {
            state.gates[*place].end(&holder.caller, held, used, now);
        }
        state.let_in(now, Some(held));
    }
}

impl State {
    fn place(&mut self, holder: &Holder, now: Now, recall: Recall<'_>) -> usize {
        let names = &mut self.places[match holder.scope {
            LimitScope::Key | LimitScope::Upstream => 0,
            LimitScope::Account => 1,
            LimitScope::Group => 2,
        }];
        if let Some(place) = names.get(&holder.id) {
            return *place;
        }
        let place = self.gates.len();
        names.insert(holder.id.clone(), place);
        let mut gate = Gate::new(&holder.limits, now, |day| recall(holder, day));
        for (at, tokens) in self.before.remove(&(holder.scope, holder.id.clone())).into_iter().flatten() {
            gate.recall(now.steady_at(at).min(now.steady), tokens);
        }
        self.gates.push(gate);
        place
    }

    fn arrives(&mut self, wanted: &Wanted, now: Now, recall: Recall<'_>) -> u32 {
        let Some(key) = wanted.holders.first() else { return 0 };
        let place = self.place(key, now, recall);
        self.gates[place].callers.arrives(&key.caller, now.steady)
    }

    /// Takes from every gate what the call asks for, or from none.
    fn enter(&mut self, wanted: &Wanted, now: Now, recall: Recall<'_>) -> Result<Entered, (usize, Blocked)> {
        let mut places = [0; HOLDERS];
        let output = self.prepare(wanted, now, recall, &mut places);
        if let Some(worst) = self.worst(wanted, now, output, &places) {
            return Err(worst);
        }
        let mut held = Vec::with_capacity(wanted.holders.len());
        let mut standings = Vec::new();
        for (place, holder) in places.iter().zip(&wanted.holders) {
            let gate = &mut self.gates[*place];
            held.push((*place, gate.take(&holder.limits, &wanted.ask(holder, output), now)));
            standings.extend(gate.standings(&holder.limits, now).map(|standing| (holder.scope, standing)));
        }
        Ok(Entered { held, standings, now })
    }

    /// What blocks a call now, if anything does.
    fn blocks(&mut self, wanted: &Wanted, now: Now) -> Option<Blocked> {
        let mut places = [0; HOLDERS];
        let output = self.prepare(wanted, now, &unseen, &mut places);
        self.worst(wanted, now, output, &places).map(|(_, blocked)| blocked)
    }

    /// Finds the gates, brings them to now, and bounds the output of a call that has no bound of its own.
    fn prepare(&mut self, wanted: &Wanted, now: Now, recall: Recall<'_>, places: &mut [usize; HOLDERS]) -> u64 {
        let mut output = wanted.output;
        for (place, holder) in places.iter_mut().zip(&wanted.holders) {
            *place = self.place(holder, now, recall);
            let gate = &mut self.gates[*place];
            gate.advance(&holder.limits, now);
            if wanted.unbounded {
                output = output.min(gate.output_for(&holder.limits, &wanted.ask(holder, wanted.output)));
            }
        }
        output
    }

    /// The limit that opens last, of all that block a call, and which holder's it is.
    fn worst(&mut self, wanted: &Wanted, now: Now, output: u64, places: &[usize; HOLDERS]) -> Option<(usize, Blocked)> {
        let mut worst: Option<(usize, Blocked)> = None;
        for (at, (place, holder)) in places.iter().zip(&wanted.holders).enumerate() {
            if let Err(blocked) = self.gates[*place].fits(&holder.limits, &wanted.ask(holder, output), now)
                && worst.is_none_or(|(_, known)| known.opens.at(now) < blocked.opens.at(now))
            {
                worst = Some((at, blocked));
            }
        }
        worst
    }

    fn denied(&mut self, wanted: &Wanted, at: usize, blocked: Blocked, early: u32, now: Now) -> Denied {
        let holder = &wanted.holders[at];
        let place = self.place(holder, now, &unseen);
        let reset_at = match blocked.opens {
            Opens::At(at) => Some(now.wall_at(at)),
            Opens::Tomorrow(end) => Some(end),
            Opens::Turn => Some(now.wall),
            Opens::Never => None,
        };
        Denied { scope: holder.scope, at, blocked, now, reset_at, zone: self.gates[place].zone().clone(), early, taken_by: None }
    }

    /// Remembers what a caller is told; names another that took at least half of the key.
    fn tell(&mut self, wanted: &Wanted, denied: &Denied, now: Now) -> Option<(String, u64)> {
        let until = denied.reset_at.map(|at| denied.now.steady_at(at));
        for (at, holder) in wanted.holders.iter().enumerate() {
            let place = self.place(holder, now, &unseen);
            let gate = &mut self.gates[place];
            if at == denied.at {
                gate.callers.refused(&holder.caller, now.steady, until);
                if let (LimitKind::Concurrency, Opens::At(at)) = (denied.blocked.kind, denied.blocked.opens) {
                    gate.expect(at);
                }
            } else if at == 0 {
                gate.callers.told(&holder.caller, now.steady, until);
            }
        }
        let key = wanted.holders.first().filter(|_| denied.scope == LimitScope::Key)?;
        let place = self.place(key, now, &unseen);
        self.gates[place].callers.taken_by_another(&key.caller, now.steady).map(|(name, share)| (name.to_owned(), share))
    }
}

/// A call that was denied was seen when it came: its gates are there.
fn unseen(_: &Holder, _: Day) -> Spent {
    Spent::default()
}

impl Permit<'_> {
    /// The call ended: what it used takes the place of what it held.
    pub(crate) fn end(mut self, used: &Used) {
        let held = std::mem::take(&mut self.entered.held);
        self.limiter.end(&self.wanted, &held, used);
    }
}

impl Drop for Permit<'_> {
    /// A call that broke: what it may have used stays used, its places are free.
    fn drop(&mut self) {
        if !self.entered.held.is_empty() {
            let held = std::mem::take(&mut self.entered.held);
            let used = Used { asked: true, charged: true, tokens: held[0].1.tokens, amount: held[0].1.amount };
            self.limiter.end(&self.wanted, &held, &used);
        }
    }
}
