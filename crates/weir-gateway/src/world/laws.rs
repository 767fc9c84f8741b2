//! The laws, asserted after each world. A broken one is told in a sentence; the seed replays it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use weir_core::{AttemptRecord, CallRecord, ChargeRule, Charged, Phase, RetryPolicy, Route, Side, UsageSource, Verdict};

use super::{
    again, events,
    plan::{Behaviour, KeyKind, PRICE, PROMPT},
    run::{Ran, UPSTREAM_KEY, World},
};

pub(super) type Law = Result<(), String>;

pub(super) fn hold(holds: bool, law: impl FnOnce() -> String) -> Law {
    if holds { Ok(()) } else { Err(law()) }
}

impl World {
    /// Checks all laws.
    ///
    /// # Errors
    /// The first that is broken.
    pub(super) fn laws(&self) -> Law {
        let rows = self.rows()?;
        self.money()?;
        self.attempts()?;
        self.secrets()?;
        for call in &self.calls {
            let found = rows.get(&call.asking.n).copied();
            let of_call = |law: String| format!("call {}: {law}", call.asking.n);
            again::law(self, call).map_err(of_call)?;
            self.row(call, found).map_err(of_call)?;
            if let Some(record) = found {
                answer(call, record).and_then(|()| ended(self, call, record)).and_then(|()| cost(call, record)).map_err(of_call)?;
            }
        }
        Ok(())
    }

    /// The rows by the call that each belongs to: one at most, and none without a call.
    fn rows(&self) -> Result<BTreeMap<usize, &CallRecord>, String> {
        let mut rows = BTreeMap::new();
        for stored in &self.records {
            let caller = stored.record.client.caller.as_deref().and_then(|caller| caller.strip_prefix('c')?.parse().ok());
            let n: usize =
                caller.filter(|n| *n < self.calls.len()).ok_or_else(|| format!("row {} belongs to no call", stored.record.id))?;
            // Whoever asks again may make a second call: its row is judged with the first one's.
            let id = stored.record.id.to_string();
            let again = self.calls[n].again.as_ref().is_some_and(|again| again.header("x-request-id") == Some(&*id));
            hold(again || rows.insert(n, &stored.record).is_none(), || format!("call {n} has two rows"))?;
        }
        hold(self.running == 0 && self.in_flight == 0, || format!("{} calls never ended, {} have no row", self.running, self.in_flight))?;
        hold(self.open == 0, || format!("{} requests are still open at the upstream", self.open))?;
        Ok(rows)
    }

    fn row(&self, call: &Ran, record: Option<&CallRecord>) -> Law {
        let id = call.got.header("x-request-id");
        match record {
            Some(record) => {
                hold(id.is_none_or(|id| id == record.id.to_string()), || format!("its row is {}, its answer {id:?}", record.id))?;
                hold(record.verdict != Verdict::GatewayInternal, || "the gateway broke".to_owned())?;
                hold(record.verdict != Verdict::ChargePending && record.charge.charged != Charged::Pending, || "it is pending".to_owned())
            }
            None => {
                let unheard = !call.got.asked || call.got.status == 0 && (call.got.left || self.plan.drain.is_some());
                hold(!call.reaches_accept() || unheard, || format!("it has no row, but its answer has {id:?}"))
            }
        }
    }

    fn money(&self) -> Law {
        let broken: Vec<_> = self.audit.laws.iter().filter(|law| !law.ok).map(|law| law.name).collect();
        hold(self.audit.ok && self.audit.in_flight == 0, || format!("the audit finds {broken:?}, {} in flight", self.audit.in_flight))?;
        let charged: i64 = self.records.iter().map(|stored| stored.record.charge.amount.0).sum();
        let balance = self.plan.credit.0 - charged;
        hold(self.account.balance.0 == balance && self.free == balance, || {
            format!("the balance is {}, free {}, credits minus charges {balance}", self.account.balance.0, self.free)
        })?;
        for stored in &self.records {
            let (charge, lines) = (&stored.record.charge, stored.ledger.len());
            let wanted = usize::from(charge.charged == Charged::Yes);
            hold(lines == wanted, || format!("{} is charged {:?} and has {lines} lines", stored.record.id, charge.charged))?;
            hold(stored.ledger.iter().all(|line| line.amount == charge.amount), || "a line differs from its record".to_owned())?;
        }
        Ok(())
    }

    /// No more attempts than the policy allows, each later and no sooner after the last than that one was; none that the upstream saw
    /// twice, none before the told instant, none on a channel that left one unanswered.
    fn attempts(&self) -> Law {
        let (mut answered, mut sent) = (0, 0);
        for stored in &self.records {
            let record = &stored.record;
            let of_record = |law: String| format!("{}: {law}", record.id);
            // A list that several upstreams tell is asked of each of them once.
            if !(record.route == Route::Models && self.plan.backup) {
                let policy = RetryPolicy::built_in(record.scenario);
                let made = record.attempts.len();
                hold(made <= policy.max_attempts.into(), || of_record(format!("it has {made} attempts")))?;
                for pair in record.attempts.windows(2) {
                    follows(&pair[0], &pair[1], told(&record.model)).map_err(of_record)?;
                }
                unanswered(&record.attempts).map_err(of_record)?;
            }
            for (at, attempt) in record.attempts.iter().enumerate() {
                hold(usize::from(attempt.n) == at + 1, || format!("attempt {} is called {}", at + 1, attempt.n))?;
                answered += usize::from(attempt.status.is_some());
                sent += usize::from(!matches!(attempt.phase, Phase::Connect | Phase::Send));
            }
        }
        let seen = self.seen.len();
        hold(answered <= seen && seen <= sent, || format!("the upstream saw {seen} requests, {sent} are recorded, {answered} answered"))
    }

    fn secrets(&self) -> Law {
        let keys = &self.keys;
        let secret = |key: &'_ String| key["sk-wr-".len() + 9..].to_owned();
        let mut planted = vec![PROMPT.to_owned(), UPSTREAM_KEY.to_owned(), "planted-cookie".to_owned()];
        planted.extend([&keys.good, &keys.grouped, &keys.disabled, &keys.expired, &keys.unknown].map(secret));
        for word in &planted {
            let finder = memchr::memmem::Finder::new(word);
            for (name, bytes) in &self.files {
                hold(finder.find(bytes).is_none(), || format!("a secret is in {name}: {}", &word[..8]))?;
            }
            let heard =
                self.calls.iter().any(|call| finder.find(&call.got.body).is_some() || finder.find(call.got.head.as_bytes()).is_some());
            hold(!heard, || format!("a secret was sent to a client: {}", &word[..8]))?;
        }
        Ok(())
    }
}

/// What must hold between an attempt and the next one.
fn follows(before: &AttemptRecord, next: &AttemptRecord, told: Option<u32>) -> Law {
    hold(before.verdict.is_some(), || format!("attempt {} follows one that did not fail", next.n))?;
    hold(next.wait_ms >= before.wait_ms, || format!("the waits shrink: {} ms, then {}", before.wait_ms, next.wait_ms))?;
    let waited = next.at_ms.saturating_sub(before.at_ms + before.ms);
    hold(waited >= next.wait_ms, || format!("attempt {} came after {waited} ms instead of {}", next.n, next.wait_ms))?;
    let same = before.channel == next.channel && before.status == Some(429);
    let asked = next.at_ms - before.at_ms;
    hold(!same || told.is_none_or(|told| asked >= told), || format!("told to wait {told:?} ms, it was asked again after {asked}"))
}

/// A channel that left an attempt without an answer gets no other of the same call.
fn unanswered(attempts: &[AttemptRecord]) -> Law {
    for (at, attempt) in attempts.iter().enumerate() {
        let silent = attempt.phase == Phase::FirstByte && attempt.status.is_none();
        let again = attempts[at + 1..].iter().any(|later| later.channel == attempt.channel);
        hold(!silent || !again, || format!("attempt {} was left unanswered, and its channel was asked again", attempt.n))?;
    }
    Ok(())
}

/// How long the simulator tells the askers of a model to wait, in milliseconds.
fn told(model: &str) -> Option<u32> {
    let word = model.trim_start_matches("sim:").split(',').find(|word| word.starts_with("429_") && word.contains('='))?;
    let (_, span) = word.split_once('=')?;
    span.strip_suffix("ms").map_or_else(|| span.strip_suffix('s')?.parse::<u32>().ok()?.checked_mul(1000), |ms| ms.parse().ok())
}

/// What the client got is what the upstream said, or an error in its family's form.
fn answer(call: &Ran, record: &CallRecord) -> Law {
    let got = &call.got;
    if got.was_put_off() {
        return put_off(call, record);
    }
    if got.status == 0 {
        return hold(got.left || !got.asked, || "a client that waited got no answer".to_owned());
    }
    hold(record.status == got.status, || format!("the client got {}, the record says {}", got.status, record.status))?;
    if got.status == 200 && got.is_stream() {
        return events::law(call, record);
    }
    if got.status < 300 {
        let straight = &call.straight;
        let joined = call.asking.route == Route::Models && got.body.starts_with(br#"{"object":"list","data":["#);
        let same = if joined && got.whole {
            list(&got.body) == list(&straight.body)
        } else if got.whole {
            got.body == straight.body
        } else {
            straight.body.starts_with(&got.body)
        };
        let listed = call.asking.route == Route::Models && call.asking.key == KeyKind::Grouped;
        hold(got.whole || got.left, || "an answer just stopped".to_owned())?;
        return hold(same && straight.status == got.status || listed, || "an answer is not the upstream's".to_owned());
    }
    if got.left {
        return Ok(());
    }
    hold(got.whole, || "an error just stopped".to_owned())?;
    let body: Value = serde_json::from_slice(&got.body).map_err(|error| format!("an error is no JSON: {error}"))?;
    let form = if call.asking.route == Route::Messages && record.route == Route::Messages {
        body["type"] == "error"
    } else {
        body.get("type").is_none()
    };
    hold(form, || format!("an error has another family's form: {body}"))?;
    events::error(&body["error"], call, record)
}

/// Who announced how long it waits hears in time that its call runs on, and which one that is.
fn put_off(call: &Ran, record: &CallRecord) -> Law {
    let Some(announced) = call.asking.announces else {
        return Err("it was told to come back, but did not say how long it waits".to_owned());
    };
    let Some(told) = record.told else { return Err("it was told to come back, and its record does not say so".to_owned()) };
    hold(told.status == call.got.status, || format!("it got {}, the record says that it got {}", call.got.status, told.status))?;
    let at = Duration::from_millis(told.at_ms.into());
    hold(at <= Duration::from_secs(announced.into()), || format!("it waits {announced} s and heard after {at:?}"))?;
    let id = call.got.header("x-request-id").unwrap_or_default();
    hold(call.got.left || String::from_utf8_lossy(&call.got.body).contains(id), || "it was not told which call runs on".to_owned())
}

fn list(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok().map(|mut list| list["data"].take())
}

/// Who ended a call, and when.
fn ended(world: &World, call: &Ran, record: &CallRecord) -> Law {
    let (by, verdict) = (record.ended_by, record.verdict);
    // Who was put off counts as one that left.
    let stayed = matches!(call.asking.client, Behaviour::ReadsAll | Behaviour::Slow(..)) && !call.got.left && record.told.is_none();
    let half = matches!(verdict, Verdict::RequestTooSlow | Verdict::RequestRejected);
    hold(!stayed || by != Side::Client || half, || format!("the client stayed, but ended it: {}", verdict.code()))?;
    hold(verdict != Verdict::Ok || by == Side::Done, || format!("it went well, but {by:?} ended it"))?;
    match verdict {
        Verdict::IdleTimeout | Verdict::TotalTimeout if call.straight.status < 400 => {
            hold(by == Side::Gateway, || format!("{} by {by:?}", verdict.code()))?;
        }
        Verdict::StreamCut | Verdict::EndMarkerMissing | Verdict::StreamSilent => {
            hold(by == Side::Upstream, || format!("{} by {by:?}", verdict.code()))?;
        }
        _ => {}
    }
    if world.had_luck(call) && stayed {
        let well = call.got.status == 200 && matches!(verdict, Verdict::Ok | Verdict::EndedByLimit | Verdict::ContentRefused);
        hold(well, || format!("nothing was wrong, but it got {} and {}", call.got.status, verdict.code()))?;
    }
    let timing = &record.timing;
    let last = timing.last_event.unwrap_or(0).max(timing.first_event.unwrap_or(0)).max(timing.ttfb.unwrap_or(0));
    hold(last <= timing.total, || format!("something happened after the end: {timing:?}"))?;
    hold(timing.first_event <= timing.last_event, || format!("the last event came before the first: {timing:?}"))?;
    let most = world.plan.timeouts.total + LAST_WORD;
    hold(Duration::from_millis(timing.total.into()) <= most, || format!("it took {} ms, {most:?} at most", timing.total))
}

/// Beyond its total a call may still read its request's body and hand over its last words, each of them.
const LAST_WORD: Duration = Duration::from_secs(60 + 2 * 5);

/// What a call costs: what its usage costs, and the usage that the upstream told where the answer is whole.
fn cost(call: &Ran, record: &CallRecord) -> Law {
    let charge = &record.charge;
    if charge.charged != Charged::Yes {
        return hold(charge.amount.0 == 0, || format!("it is not charged, but costs {}", charge.amount.0));
    }
    let price = PRICE.of(&charge.usage).map_err(|error| error.to_string())?;
    hold(charge.amount == price, || format!("it costs {}, its usage {}", charge.amount.0, price.0))?;
    if charge.rule == ChargeRule::Complete && charge.usage_source == UsageSource::Upstream {
        let told = usage(&call.straight.body);
        hold(told == (charge.usage.input, charge.usage.output), || {
            format!("its usage costs {:?}, the upstream said {told:?}", charge.usage)
        })?;
    }
    let nothing = call.got.body.is_empty() && !call.got.left;
    hold(!nothing, || "it costs, but nothing was delivered".to_owned())
}

/// The input and output tokens that an answer tells, in any family's words.
fn usage(body: &[u8]) -> (u64, u64) {
    let mut told = (0, 0);
    let text = String::from_utf8_lossy(body);
    let mut look = |json: &str| {
        let Ok(value) = serde_json::from_str::<Value>(json) else { return };
        for usage in [&value["usage"], &value["response"]["usage"], &value["message"]["usage"]] {
            let count = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64());
            told.0 = count(["prompt_tokens", "input_tokens"]).unwrap_or(told.0);
            // Anthropic's first event holds a place with a count of its own.
            told.1 = told.1.max(count(["completion_tokens", "output_tokens"]).unwrap_or(0));
        }
    };
    look(&text);
    text.split(['\n', '\r'])
        .filter_map(|line| line.trim_start_matches('\u{feff}').strip_prefix("data:"))
        .for_each(|line| look(line.trim_start()));
    told
}
