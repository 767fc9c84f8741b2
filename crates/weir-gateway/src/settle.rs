//! Stage 5: what a call costs, by how it ended. One place, so that the rule in the record is the rule that was applied.

use weir_core::{Amount, Charge, ChargeFacts, ChargeRule, Price, Reserved, Usage, UsageSource};

/// How the upstream's work ended, as far as the charge depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Complete and handed over: its usage.
    Complete,
    /// Complete, but the client had left; the policy says that it is charged all the same.
    Finished,
    /// Broken off by the upstream, a limit or a stop: what was delivered.
    Cut,
    /// Broken off when only the end marker was missing: what was delivered is all that the upstream reported.
    CutAtEnd,
    /// The client left: what it got before.
    ClientLeft,
}

/// What is known of the units used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) work: Work,
    /// As the upstream reported it.
    pub(crate) reported: Option<Usage>,
    /// Estimated input tokens of the request.
    pub(crate) input: u64,
    /// Estimated output tokens that the client got, and whether it got any output at all.
    pub(crate) delivered: u64,
    pub(crate) any_output: bool,
}

impl Used {
    /// Input and output tokens, as far as they are known.
    pub(crate) fn tokens(&self) -> u64 {
        let usage = self.reported.unwrap_or_else(|| self.estimate());
        usage.input.saturating_add(usage.output)
    }

    /// What was delivered, as an estimate: the input, and the output that passed.
    fn estimate(&self) -> Usage {
        Usage { input: self.reported.map_or(self.input, |usage| usage.input), output: self.delivered, ..Usage::default() }
    }
}

/// What a stream has cost so far, for its hold: what a crash would charge.
pub(crate) fn so_far(price: &Price, input: u64, delivered: u64) -> (Amount, Usage) {
    let usage = if delivered == 0 { Usage::default() } else { Usage { input, output: delivered, ..Usage::default() } };
    // A price that overflows on an estimate was refused at the reservation already.
    (price.of(&usage).unwrap_or_default(), usage)
}

/// Ends the hold: settled by usage or by what was delivered, or released.
pub(crate) fn end(charge: Charge<Reserved>, price: &Price, used: &Used) -> ChargeFacts {
    let (usage, source, rule) = match (used.work, used.reported) {
        (Work::Complete, Some(usage)) => (usage, UsageSource::Upstream, ChargeRule::Complete),
        (Work::Complete, None) => (used.estimate(), UsageSource::Estimated, ChargeRule::Complete),
        (Work::Finished, Some(usage)) => (usage, UsageSource::Upstream, ChargeRule::Finished),
        (Work::Finished, None) => (used.estimate(), UsageSource::Estimated, ChargeRule::Finished),
        (Work::Cut | Work::CutAtEnd | Work::ClientLeft, _) if !used.any_output => return released(charge),
        (Work::CutAtEnd, Some(usage)) => (usage, UsageSource::Upstream, ChargeRule::Delivered),
        (Work::Cut | Work::CutAtEnd, _) => (used.estimate(), UsageSource::Estimated, ChargeRule::Delivered),
        (Work::ClientLeft, _) => (used.estimate(), UsageSource::Estimated, ChargeRule::ClientLeft),
    };
    // A usage that no amount can hold is charged at what was held: the one sum that was agreed to.
    let amount = price.of(&usage).unwrap_or(charge.held());
    ChargeFacts::from((&charge.settle(amount, rule), usage, source))
}

/// Gives the hold back: refused, or failed before output.
pub(crate) fn released(charge: Charge<Reserved>) -> ChargeFacts {
    ChargeFacts::from(&charge.release(ChargeRule::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::{Charged, RequestId};

    fn facts(work: Work, reported: Option<Usage>, delivered: u64) -> ChargeFacts {
        let charge = Charge::reserve(RequestId::from_bytes([1; 16]), Amount(1000));
        let price = Price { input: 1, output: 10, ..Price::default() };
        end(charge, &price, &Used { work, reported, input: 7, delivered, any_output: delivered > 0 })
    }

    #[test]
    fn each_ending_is_charged_by_its_rule() {
        let usage = Usage { input: 5, output: 20, ..Usage::default() };
        let table = [
            (Work::Complete, Some(usage), 3, Charged::Yes, ChargeRule::Complete, 205, UsageSource::Upstream),
            (Work::Complete, None, 3, Charged::Yes, ChargeRule::Complete, 37, UsageSource::Estimated),
            (Work::Finished, Some(usage), 0, Charged::Yes, ChargeRule::Finished, 205, UsageSource::Upstream),
            (Work::Cut, None, 3, Charged::Yes, ChargeRule::Delivered, 37, UsageSource::Estimated),
            (Work::CutAtEnd, Some(usage), 3, Charged::Yes, ChargeRule::Delivered, 205, UsageSource::Upstream),
            (Work::CutAtEnd, None, 3, Charged::Yes, ChargeRule::Delivered, 37, UsageSource::Estimated),
            (Work::Cut, None, 0, Charged::No, ChargeRule::Refused, 0, UsageSource::None),
            (Work::ClientLeft, None, 2, Charged::Yes, ChargeRule::ClientLeft, 27, UsageSource::Estimated),
            (Work::ClientLeft, Some(usage), 0, Charged::No, ChargeRule::Refused, 0, UsageSource::None),
        ];
        for (work, reported, delivered, charged, rule, amount, source) in table {
            let facts = facts(work, reported, delivered);
            assert_eq!((facts.charged, facts.rule, facts.amount, facts.usage_source), (charged, rule, Amount(amount), source), "{work:?}");
        }
    }
}
