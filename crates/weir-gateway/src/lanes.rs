//! The channels of all upstreams: which one a call goes to, by weight and health, and what its upstream's budget still allows.
//!
//! While every channel is sound, a choice takes no lock.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderValue, Uri};
use weir_client::{Pool, Target};
use weir_core::{ApiKey, BreakerTerms, BudgetTerms, Fitness, Health, Outcome, RetryBudget, Route, Timestamp, limit::Now};

use weir_wire::tasks::Adapter;

use crate::{Channel, Dice, Upstream, door::Door, settings::fits};

/// A channel with its upstream and its idle connections.
pub(crate) struct Lane {
    /// Its place among all.
    pub(crate) at: usize,
    /// Its upstream's place among all.
    pub(crate) upstream: usize,
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) tasks: Option<&'static Adapter>,
    pub(crate) channel: Channel,
    pub(crate) pool: Arc<Pool>,
    /// What every request to it bears, made once: `Host`, and the credential in both forms. `None` if it is no header.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) credential: Option<Credential>,
    /// Where each route's requests go, in the order of [`Route::ALL`].
    uris: Vec<Option<Uri>>,
    pub(crate) door: Door,
}

/// A channel's key as headers.
pub(crate) struct Credential {
    pub(crate) bearer: HeaderValue,
    pub(crate) bare: HeaderValue,
}

impl Credential {
    fn new(key: &ApiKey) -> Option<Self> {
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Some(Self { bearer: secret(&format!("Bearer {}", key.expose()))?, bare: secret(key.expose())? })
    }
}

/// A path as it is below an upstream's base, which has the `/v1`.
pub(crate) fn below_base(path: &str) -> &str {
    path.trim_start_matches("/v1")
}

fn uri_of(target: &Target, path: &str) -> Option<Uri> {
    Uri::try_from(format!("{}{path}", target.path)).ok()
}

impl Lane {
    /// Where a request of this route goes, whose path below the base is `path`.
    pub(crate) fn uri(&self, route: Route, path: &str) -> Option<Uri> {
        if path == below_base(route.path()) {
            let place = Route::ALL.iter().position(|known| *known == route)?;
            return self.uris.get(place)?.clone();
        }
        uri_of(&self.target, path)
    }

    /// Whether it serves a model; every channel serves what names none.
    fn serves(&self, model: Option<&str>) -> bool {
        let models = &self.channel.models;
        model.is_none_or(|model| models.is_empty() || models.iter().any(|pattern| fits(pattern, model)))
    }
}

/// The channels that a call has asked, by their places.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    pub(crate) all: Vec<usize>,
    /// Those that left a request without an answer: the call must not go there again.
    pub(crate) silent: Vec<usize>,
}

/// What a channel is sought for.
#[derive(Clone, Copy)]
struct Sought<'a> {
    model: Option<&'a str>,
    tried: &'a Tried,
    now: Timestamp,
}

/// Which channel is next.
pub(crate) enum Choice<'a> {
    Lane(&'a Lane),
    /// Every channel of the model was told to wait; the first of them opens then.
    Told(Timestamp),
    /// No channel serves the model, or each that does has left the call without an answer.
    None,
}

/// All channels, how they are, and what their upstreams may still be asked again.
pub(crate) struct Lanes {
    all: Vec<Lane>,
    /// One for each upstream.
    budgets: Vec<Mutex<RetryBudget>>,
    /// One for each channel.
    health: Mutex<Vec<Health>>,
    /// Whether any health is of interest: while none is, nobody takes the lock.
    ailing: AtomicBool,
    terms: BreakerTerms,
}

impl Lanes {
    pub(crate) fn new(upstreams: &[Upstream], budget: BudgetTerms, terms: BreakerTerms, now: Now) -> Self {
        let mut all = Vec::new();
        for (index, upstream) in upstreams.iter().enumerate() {
            for channel in &upstream.channels {
                all.push(Lane {
                    at: all.len(),
                    upstream: index,
                    name: format!("{}/{}", upstream.name, channel.name),
                    target: upstream.target.clone(),
                    tasks: upstream.tasks,
                    channel: channel.clone(),
                    pool: Arc::default(),
                    host: HeaderValue::from_str(&upstream.target.authority()).ok(),
                    credential: channel.key.as_deref().and_then(Credential::new),
                    uris: Route::ALL.iter().map(|route| uri_of(&upstream.target, below_base(route.path()))).collect(),
                    door: Door::new(&channel.limits, now),
                });
            }
        }
        let budgets = upstreams.iter().map(|_| Mutex::new(RetryBudget::new(budget, now.wall))).collect();
        let health = Mutex::new(vec![Health::default(); all.len()]);
        Self { all, budgets, health, ailing: AtomicBool::new(false), terms }
    }

    pub(crate) fn all(&self) -> &[Lane] {
        &self.all
    }

    pub(crate) fn serve(&self, model: &str) -> bool {
        self.all.iter().any(|lane| lane.serves(Some(model)))
    }

    /// The channel for the next attempt: a fit one that was not tried, else a fit one, else the least bad. Among equals the weight decides.
    /// `opens` tells when a channel's own limits admit an attempt, if they do not now.
    pub(crate) fn choose(
        &self,
        model: Option<&str>,
        tried: &Tried,
        opens: impl Fn(&Lane) -> Option<Timestamp>,
        now: Timestamp,
        dice: &dyn Dice,
    ) -> Choice<'_> {
        self.pick(self.ailing().as_deref(), &Sought { model, tried, now }, opens, dice)
    }

    /// The channel for a first attempt that begins at once: no two calls take the same place as a probe.
    pub(crate) fn enter(
        &self,
        model: Option<&str>,
        opens: impl Fn(&Lane) -> Option<Timestamp>,
        now: Timestamp,
        dice: &dyn Dice,
    ) -> Choice<'_> {
        let mut health = self.ailing();
        let choice = self.pick(health.as_deref(), &Sought { model, tried: &Tried::default(), now }, opens, dice);
        if let (Choice::Lane(lane), Some(health)) = (&choice, &mut health) {
            health[lane.at].begin(model.unwrap_or_default(), now);
        }
        choice
    }

    fn pick(
        &self,
        health: Option<&Vec<Health>>,
        sought: &Sought<'_>,
        opens: impl Fn(&Lane) -> Option<Timestamp>,
        dice: &dyn Dice,
    ) -> Choice<'_> {
        let Sought { model, tried, now } = *sought;
        let mut told: Option<Timestamp> = None;
        let mut best: Option<(u8, Timestamp)> = None;
        let rank = |lane: &Lane| {
            let is_tried = u8::from(tried.all.contains(&lane.at));
            if let Some(reset) = opens(lane) {
                return Err(reset);
            }
            match health.map_or(Fitness::Fit, |health| fitness(health, lane, model, now)) {
                Fitness::Fit | Fitness::Probe => Ok((is_tried, Timestamp(0))),
                Fitness::Unwell(until) => Ok((2 + is_tried, until)),
                Fitness::Told(reset) => Err(reset),
            }
        };
        let may = |lane: &&Lane| lane.serves(model) && !tried.silent.contains(&lane.at);
        for lane in self.all.iter().filter(may) {
            match rank(lane) {
                Ok(rank) => best = Some(best.map_or(rank, |best| best.min(rank))),
                Err(reset) => told = Some(told.map_or(reset, |told| told.min(reset))),
            }
        }
        let Some(best) = best else { return told.map_or(Choice::None, Choice::Told) };
        let equals = self.all.iter().filter(may).filter(|lane| rank(lane) == Ok(best));
        by_weight(equals, dice).map_or(Choice::None, Choice::Lane)
    }

    /// A fit channel that was not tried. After a failure that concerns its whole upstream (`beside` is its place) one of another upstream.
    pub(crate) fn elsewhere(
        &self,
        model: Option<&str>,
        tried: &Tried,
        beside: Option<usize>,
        opens: impl Fn(&Lane) -> Option<Timestamp>,
        now: Timestamp,
        dice: &dyn Dice,
    ) -> Option<&Lane> {
        let health = self.ailing();
        let is_fit =
            |lane: &Lane| health.as_ref().is_none_or(|health| matches!(fitness(health, lane, model, now), Fitness::Fit | Fitness::Probe));
        let others = self.all.iter().filter(|lane| !tried.all.contains(&lane.at) && beside != Some(lane.upstream) && lane.serves(model));
        by_weight(others.filter(|lane| is_fit(lane) && opens(lane).is_none()), dice)
    }

    /// When the upstream may be asked again, if it told so and that is still to come.
    pub(crate) fn told(&self, lane: &Lane, model: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        match fitness(self.ailing().as_ref()?, lane, model, now) {
            Fitness::Told(reset) => Some(reset),
            Fitness::Fit | Fitness::Probe | Fitness::Unwell(_) => None,
        }
    }

    /// An attempt goes to `lane`.
    pub(crate) fn begin(&self, lane: &Lane, model: Option<&str>, now: Timestamp) {
        if let Some(mut health) = self.ailing() {
            health[lane.at].begin(model.unwrap_or_default(), now);
        }
    }

    /// An attempt on `lane` ended so.
    pub(crate) fn note(&self, lane: &Lane, model: Option<&str>, outcome: Outcome, now: Timestamp, dice: &dyn Dice) {
        if matches!(outcome, Outcome::Good | Outcome::Nothing) && self.are_sound() {
            return;
        }
        let mut health = self.health();
        health[lane.at].note(model.unwrap_or_default(), outcome, now, dice.roll(), &self.terms);
        self.ailing.store(!health.iter().all(Health::is_sound), Ordering::Release);
    }

    /// Whether nothing is known against any channel.
    pub(crate) fn are_sound(&self) -> bool {
        !self.ailing.load(Ordering::Acquire)
    }

    /// A call's first attempt goes to `lane`: its upstream earns a share of a retry.
    pub(crate) fn deposit(&self, lane: &Lane) {
        self.budget(lane).deposit();
    }

    /// The same of a call that is itself a retry of its client's: it earns nothing and uses a retry up, so that those of two layers do
    /// not multiply.
    pub(crate) fn spend(&self, lane: &Lane, now: Timestamp) {
        // Where none is left there is none to use up: the client is not weir's to refuse.
        let _ = self.budget(lane).withdraw(now);
    }

    /// Whether `lane`'s upstream may be asked once more.
    pub(crate) fn withdraw(&self, lane: &Lane, now: Timestamp) -> bool {
        self.budget(lane).withdraw(now)
    }

    fn budget(&self, lane: &Lane) -> MutexGuard<'_, RetryBudget> {
        self.budgets[lane.upstream].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Vec<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ailing(&self) -> Option<MutexGuard<'_, Vec<Health>>> {
        (!self.are_sound()).then(|| self.health())
    }
}

fn fitness(health: &[Health], lane: &Lane, model: Option<&str>, now: Timestamp) -> Fitness {
    health[lane.at].fitness(model.unwrap_or_default(), now)
}

/// One of `lanes` by its weight. Of a single one nobody rolls.
fn by_weight<'a>(lanes: impl Iterator<Item = &'a Lane> + Clone, dice: &dyn Dice) -> Option<&'a Lane> {
    let mut rest = lanes.clone();
    let (first, None) = (rest.next()?, rest.next()) else {
        let sum: u128 = lanes.clone().map(|lane| u128::from(lane.channel.weight.max(1))).sum();
        let mut at = dice.roll() % sum;
        return lanes.into_iter().find(|lane| {
            let weight = u128::from(lane.channel.weight.max(1));
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        });
    };
    Some(first)
}
