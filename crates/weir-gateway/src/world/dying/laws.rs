//! What must hold when one of two upstreams dies.

use std::{collections::BTreeMap, time::Duration};

use weir_core::{AttemptRecord, CallRecord, Charged, Phase, Verdict};

use super::{
    super::{chance::EPOCH, plan::PLENTY, saw::Stream},
    APART, CALLS, Death, Ended, World,
};

type Law = Result<(), String>;

fn hold(holds: bool, law: impl FnOnce() -> String) -> Law {
    if holds { Ok(()) } else { Err(law()) }
}

/// The upstream that dies.
const DYING: &str = "up1/main";
const HEALTHY: &str = "up2/main";
/// What an upstream that is back, or still gone, may see at most within this long: a probe at a time.
const FIRST: Duration = Duration::from_secs(2);
const PROBES: usize = 3;
/// How much of the end is looked at.
const TAIL: Duration = Duration::from_secs(8);
/// By then a dead upstream is known to be dead.
const NOTICED: Duration = Duration::from_secs(8);

impl World {
    /// Checks all of them; the first that is broken is told in a sentence.
    pub(super) fn laws(&self) -> Law {
        let mut records = BTreeMap::new();
        for record in &self.records {
            let caller = record.client.caller.as_deref().and_then(|caller| caller.strip_prefix('c')?.parse::<u64>().ok());
            let n = caller.ok_or("a row belongs to no call")?;
            hold(records.insert(n, record).is_none(), || format!("call {n} has two rows"))?;
        }
        for call in &self.calls {
            let record = records.get(&call.n).ok_or_else(|| format!("call {} has no row", call.n))?;
            let of_call = |law: String| format!("call {}: {law}; {:?}", call.n, record.attempts);
            self.answer(call, record).map_err(of_call)?;
            attempts(record).map_err(of_call)?;
        }
        self.struck()?;
        self.money()?;
        self.requests()?;
        self.recovery()
    }

    /// A whole answer, or the rest of a stream that had begun where it died.
    fn answer(&self, call: &Ended, record: &CallRecord) -> Law {
        let got = &call.got;
        hold(got.whole, || "the answer just stopped".to_owned())?;
        hold(got.status == 200, || format!("its client got {} ({})", got.status, record.verdict.code()))?;
        let stream = if call.stream { Stream::of(&got.body) } else { Stream::default() };
        // The first event of a stream only opens it: where nothing followed, there was no output.
        let brought = stream.errors.is_empty() || stream.events > 1;
        let charged = record.charge.charged == Charged::Yes;
        hold(brought == charged, || format!("it brought something: {brought}; it is charged: {charged}"))?;
        if stream.errors.is_empty() {
            return hold(!call.stream || stream.done, || "a stream ends without its marker".to_owned());
        }
        let deadly = matches!(self.death, Death::Crashes | Death::Hangs);
        hold(deadly, || "a stream was lost, but nothing cut it".to_owned())?;
        hold(stream.events > 0, || "a stream failed that had not begun".to_owned())?;
        let last = record.attempts.last().ok_or("no attempt")?;
        hold(last.channel == DYING, || "a stream of the healthy upstream failed".to_owned())?;
        hold(record.at.since(EPOCH) < self.dies, || "a stream began at a dead upstream".to_owned())
    }

    /// Laws prove little where nothing happened: calls met the dead upstream and went on at the other, and begun streams were lost to it.
    fn struck(&self) -> Law {
        let moved = self.records.iter().any(|record| match &record.attempts[..] {
            [first, .., last] => first.channel == DYING && last.channel == HEALTHY && record.verdict == Verdict::Ok,
            _ => false,
        });
        hold(moved, || "no call went on at the healthy upstream".to_owned())?;
        let lost = self.calls.iter().any(|call| call.stream && !Stream::of(&call.got.body).errors.is_empty());
        hold(lost || !matches!(self.death, Death::Crashes | Death::Hangs), || "no stream was lost".to_owned())
    }

    /// Each call is charged once at most, and what was answered is.
    fn money(&self) -> Law {
        let broken: Vec<_> = self.audit.laws.iter().filter(|law| !law.ok).map(|law| law.name).collect();
        hold(self.audit.ok, || format!("the audit finds {broken:?}"))?;
        let charged: i64 = self.records.iter().map(|record| record.charge.amount.0).sum();
        hold(self.account.balance.0 == PLENTY.0 - charged, || "the balance is not its credit minus the charges".to_owned())
    }

    /// The upstreams saw what the records tell, and no more.
    fn requests(&self) -> Law {
        for (at, channel) in [DYING, HEALTHY].iter().enumerate() {
            let attempts = || self.records.iter().flat_map(|record| &record.attempts).filter(|attempt| attempt.channel == *channel);
            let answered = attempts().filter(|attempt| attempt.status.is_some()).count();
            let sent = attempts().filter(|attempt| !matches!(attempt.phase, Phase::Connect | Phase::Send)).count();
            let seen = self.seen[at];
            hold(answered <= seen && seen <= sent, || format!("{channel} saw {seen} requests; {sent} were sent, {answered} answered"))?;
        }
        Ok(())
    }

    /// A dead upstream is left alone, one that is back is probed, and then has its share again.
    fn recovery(&self) -> Law {
        let dead = self.asked(DYING, self.dies + NOTICED, self.recovers);
        let spans = usize::try_from((self.recovers - self.dies - NOTICED).as_millis().div_ceil(FIRST.as_millis())).unwrap();
        hold(dead <= PROBES * spans, || format!("a dead upstream was asked {dead} times"))?;
        let first = self.asked(DYING, self.recovers, self.recovers + FIRST);
        hold(first <= PROBES, || format!("it was asked {first} times within {FIRST:?} of its recovery"))?;
        let end = APART * u32::try_from(CALLS).unwrap();
        let last = self.asked(DYING, end - TAIL, end);
        let all = last + self.asked(HEALTHY, end - TAIL, end);
        hold(last > first && last * 4 >= all, || format!("long after its recovery it got {last} of {all} requests"))
    }

    /// Attempts on a channel that began in a span.
    fn asked(&self, channel: &str, from: Duration, to: Duration) -> usize {
        let begun = self.records.iter().flat_map(|record| {
            let began = move |attempt: &AttemptRecord| record.at.since(EPOCH) + Duration::from_millis(attempt.at_ms.into());
            record.attempts.iter().filter(|attempt| attempt.channel == channel).map(began)
        });
        begun.filter(|at| (from..to).contains(at)).count()
    }
}

/// Every attempt tells how far it came, what it was told, how long was waited for it, and under which id the upstream knows it.
fn attempts(record: &CallRecord) -> Law {
    hold(!record.attempts.is_empty(), || "no attempt".to_owned())?;
    let mut end = 0;
    let mut waited = 0;
    for (at, attempt) in record.attempts.iter().enumerate() {
        hold(usize::from(attempt.n) == at + 1, || format!("attempt {} is called {}", at + 1, attempt.n))?;
        hold(at == 0 || attempt.at_ms >= end + attempt.wait_ms, || format!("attempt {} began before its wait was over", attempt.n))?;
        hold(attempt.wait_ms >= waited, || "a wait is shorter than the one before".to_owned())?;
        (end, waited) = (attempt.at_ms + attempt.ms, attempt.wait_ms);
        told(attempt).map_err(|law| format!("attempt {}: {law}", attempt.n))?;
        let is_last = at + 1 == record.attempts.len();
        hold(is_last || attempt.verdict.is_some(), || format!("attempt {} failed without a verdict", attempt.n))?;
    }
    Ok(())
}

fn told(attempt: &AttemptRecord) -> Law {
    let connecting = matches!(attempt.phase, Phase::Connect | Phase::Send);
    match attempt.status {
        Some(status) => {
            hold(!connecting, || format!("it got {status} while it connected"))?;
            hold(attempt.upstream_id.as_deref().is_some_and(|id| id.starts_with("req_")), || "the upstream's id is missing".to_owned())
        }
        None => hold(connecting || attempt.phase == Phase::FirstByte, || format!("no status, but it came to {:?}", attempt.phase)),
    }
}
