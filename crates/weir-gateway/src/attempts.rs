//! The attempts of one call: which channel is next, after what wait, or why there is none.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_core::{Failure, Outcome, RetryDecision, RetryPolicy, Standing, StopReason, Timestamp, Verdict, retry::decide};
use weir_wire::Scope;

use crate::{
    Gateway,
    attempt::{CallLimits, attended, limited},
    door::{Need, Stay},
    lanes::{Choice, Lane, Tried},
    refusal::Refusal,
    talk::Live,
    vigil::Limit,
};

/// The wall clock may run behind the timer by as much: what is missing of a told wait then is waited, too.
const SKEW: Duration = Duration::from_millis(50);

/// An attempt that left the client without a byte of an answer: what it means for the client, and for a next attempt.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) refusal: Refusal,
    pub(crate) failure: Failure,
}

impl Failed {
    /// A failure that no other attempt mends.
    pub(crate) fn for_good(refusal: Refusal) -> Self {
        Self { refusal, failure: Failure::Final }
    }

    /// Bytes were sent and nothing usable came back.
    pub(crate) fn unanswered(refusal: Refusal) -> Self {
        Self { refusal, failure: Failure::Unanswered }
    }
}

/// One attempt that is about to be made.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) lane: &'a Lane,
    /// 1 for the first.
    pub(crate) n: u8,
    /// How long was waited for it.
    pub(crate) wait: Duration,
}

/// What one call has tried so far.
pub(crate) struct Attempts<'a> {
    gateway: &'a Gateway,
    policy: &'a RetryPolicy,
    /// `None` where any channel will do.
    model: Option<&'a str>,
    limits: CallLimits,
    /// `None` for what counts against no channel's limits.
    need: Option<Need>,
    /// The place of the attempt that runs in its channel's limits.
    stay: Option<Stay<'a>>,
    made: u8,
    pinned: Option<usize>,
    tried: Tried,
    waited: Duration,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(
        gateway: &'a Gateway,
        policy: &'a RetryPolicy,
        model: Option<&'a str>,
        limits: CallLimits,
        need: Option<Need>,
    ) -> Self {
        Self { gateway, policy, model, limits, need, stay: None, made: 0, pinned: None, tried: Tried::default(), waited: Duration::ZERO }
    }

    /// The first attempt; a refusal where every channel's upstream told to wait, or every channel's own limits are used up.
    /// `client_retries`: how often the client's SDK says that it has sent this before.
    pub(crate) fn first(&mut self, client_retries: Option<u32>) -> Result<Turn<'a>, Refusal> {
        let now = self.gateway.clock.now();
        // Somebody may be quicker at a channel's last place; then there is another channel, or one to wait for. Once more than there
        // are channels, so that whoever lost the last of all is told when it opens.
        for _ in 0..=self.gateway.lanes.all().len() {
            let lane = match self.gateway.lanes.enter(self.model, |lane| self.opens(lane), now, self.gateway.dice.as_ref()) {
                Choice::Lane(lane) => lane,
                Choice::Told(reset) => return Err(throttled(reset, now)),
                Choice::None => break,
            };
            if self.enter(lane).is_ok() {
                match client_retries {
                    None | Some(0) => self.gateway.lanes.deposit(lane),
                    Some(_) => self.gateway.lanes.spend(lane, now),
                }
                return Ok(self.turn(lane, Duration::ZERO));
            }
            self.said(lane, Outcome::Nothing);
        }
        Err(Refusal::of(Verdict::NoUpstream))
    }

    /// The attempt that runs was answered and used so many tokens.
    pub(crate) fn used(&mut self, tokens: u64) {
        if let Some(stay) = &mut self.stay {
            stay.used(tokens);
        }
    }

    fn enter(&mut self, lane: &'a Lane) -> Result<(), Timestamp> {
        if let Some(need) = &self.need {
            self.stay = lane.door.enter(need, &self.gateway.limiter)?;
        }
        Ok(())
    }

    /// Only this channel will do.
    pub(crate) fn pin(&mut self, lane: usize) {
        self.pinned = Some(lane);
    }

    /// When a channel's own limits admit an attempt, if they do not now.
    fn opens(&self, lane: &Lane) -> Option<Timestamp> {
        if self.pinned.is_some_and(|pinned| pinned != lane.at) {
            return Some(Timestamp(i64::MAX));
        }
        lane.door.opens(self.need.as_ref()?, &self.gateway.limiter)
    }

    /// After a failed attempt: waits for the next, or gives back why there is none.
    pub(crate) async fn next(&mut self, before: Turn<'a>, failed: Failed, live: &mut Live<'_>) -> Result<Turn<'a>, Refusal> {
        if let Some(attempt) = live.record.attempts.last_mut() {
            attempt.verdict.get_or_insert(failed.refusal.verdict);
        }
        #[cfg(test)]
        let failed = self.gateway.sabotage.misread(failed);
        let now = self.gateway.clock.now();
        self.tried.all.push(before.lane.at);
        self.gateway.lanes.note(before.lane, self.model, failed.failure.into(), now, self.gateway.dice.as_ref());
        live.vigil.rest();
        self.stay = None;
        let (lane, wait) = match self.plan(before.lane, failed.failure, live, now) {
            Ok(planned) => planned,
            Err(reason) => {
                tracing::debug!(call.id = %live.record.id, attempts = self.made, ?reason, "no further attempt");
                return Err(failed.refusal);
            }
        };
        #[cfg(test)]
        let wait = self.gateway.sabotage.hurry(self.made, wait);
        self.waited = wait;
        if failed.failure == Failure::Unanswered {
            self.tried.silent.push(before.lane.at);
        }
        if !wait.is_zero() {
            pause(self.gateway, wait, live).await?;
        }
        let mut now = self.gateway.clock.now();
        if let Some(reset) = self.gateway.lanes.told(lane, self.model, now) {
            let rest = reset.since(now);
            if rest > SKEW {
                // Somebody else was told to wait meanwhile.
                return Err(throttled(reset, now));
            }
            pause(self.gateway, rest, live).await?;
            now = self.gateway.clock.now();
        }
        self.enter(lane).map_err(|reset| throttled(reset, now))?;
        self.gateway.lanes.begin(lane, self.model, now);
        Ok(self.turn(lane, wait))
    }

    /// Which channel is asked next and after what wait, once the policy, the time and the budget allow it.
    fn plan(&self, before: &Lane, seen: Failure, live: &Live<'_>, now: Timestamp) -> Result<(&'a Lane, Duration), StopReason> {
        let (lanes, dice) = (&self.gateway.lanes, self.gateway.dice.as_ref());
        if live.vigil.is_abandoned() {
            return Err(StopReason::Useless);
        }
        let beside = (!seen.is_of_the_channel()).then_some(before.upstream);
        let other = lanes.elsewhere(self.model, &self.tried, beside, |lane| self.opens(lane), now, dice);
        let standing = Standing {
            attempts: self.made,
            waited: self.waited,
            unanswered_before: !self.tried.silent.is_empty(),
            elsewhere: other.is_some(),
            remaining: self.limits.wait_until(live.reply).saturating_duration_since(Instant::now()),
            now,
            roll: dice.roll(),
        };
        let wait = match decide(self.policy, seen, &standing) {
            RetryDecision::Stop(reason) => return Err(reason),
            RetryDecision::Retry { wait, .. } => wait,
        };
        let lane = match other {
            Some(other) => other,
            None => match lanes.choose(self.model, &self.tried, |lane| self.opens(lane), now.after(wait), dice) {
                Choice::Lane(lane) => lane,
                Choice::Told(_) => return Err(StopReason::Patience),
                Choice::None => return Err(StopReason::MayCostTwice),
            },
        };
        // What never left has cost no upstream anything: its one other channel is free. Everything else is paid for.
        let free = other.is_some() && seen == Failure::Unsent;
        if free || lanes.withdraw(lane, now) { Ok((lane, wait)) } else { Err(StopReason::Budget) }
    }

    fn turn(&mut self, lane: &'a Lane, wait: Duration) -> Turn<'a> {
        self.made = self.made.saturating_add(1);
        Turn { lane, n: self.made, wait }
    }

    /// What an attempt that was answered says about its channel.
    pub(crate) fn said(&self, lane: &Lane, outcome: Outcome) {
        let (lanes, clock) = (&self.gateway.lanes, &self.gateway.clock);
        if outcome != Outcome::Good || !lanes.are_sound() {
            lanes.note(lane, self.model, outcome, clock.now(), self.gateway.dice.as_ref());
        }
    }
}

/// The upstream itself said that asking is useless until then.
fn throttled(reset: Timestamp, now: Timestamp) -> Refusal {
    Refusal::of(Verdict::UpstreamThrottled).scope(Scope::Upstream).until(Some(reset), now)
}

/// Waits between two attempts. A client that leaves ends it: nobody would hear the answer.
async fn pause(gateway: &Gateway, wait: Duration, live: &mut Live<'_>) -> Result<(), Refusal> {
    let outlet = live.reply.outlet.clone();
    let mut slept = std::pin::pin!(sleep(wait));
    let slept = std::future::poll_fn(|cx| {
        if outlet.is_gone() && !outlet.is_promised() {
            return std::task::Poll::Ready(false);
        }
        slept.as_mut().poll(cx).map(|()| true)
    });
    match attended(std::pin::pin!(slept), &gateway.settings.streams, live).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(limited(Limit::Linger)),
        Err(limit) => Err(limited(limit)),
    }
}
