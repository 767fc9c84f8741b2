//! Which probes a run makes, and what that costs at most.

use std::time::Duration;

use super::{Cost, Order, ProbeId};

/// The probes of an order, in their order. P8 and P13 join where the server is a weir gateway.
#[must_use]
pub fn plan(order: &Order) -> Vec<ProbeId> {
    let is_chosen = |id: &ProbeId| order.only.is_empty() || order.only.contains(id);
    let applies = |id: &ProbeId| match id {
        ProbeId::P0 | ProbeId::P1 | ProbeId::P2 => true,
        // A question about something past asks no model.
        ProbeId::P3 => !order.no_models && !order.is_lookup(),
        ProbeId::P4 | ProbeId::P5 | ProbeId::P8 | ProbeId::P13 => !order.is_lookup(),
        ProbeId::P6 => !order.is_lookup() && !order.is_cheap,
        ProbeId::P7 => !order.is_lookup() && (order.direct.is_some() || order.via.is_some()),
        ProbeId::P9 => order.is_lookup(),
        ProbeId::P10 => false,
        ProbeId::P11 => order.burst.is_some(),
        ProbeId::P12 => order.hold_s.is_some(),
    };
    ProbeId::ALL.into_iter().filter(|id| applies(id) && (is_chosen(id) || *id == ProbeId::P0)).collect()
}

/// What these probes cost at most.
#[must_use]
pub fn cost(order: &Order, probes: &[ProbeId]) -> Cost {
    let calls = |id: &ProbeId| match id {
        ProbeId::P4 | ProbeId::P5 | ProbeId::P6 | ProbeId::P7 => (1, order.max_tokens),
        ProbeId::P11 => (order.burst.unwrap_or_default(), order.burst.unwrap_or_default().saturating_mul(order.max_tokens)),
        ProbeId::P12 => (1, super::order::TOKENS_MAX),
        _ => (0, 0),
    };
    let sums = probes.iter().map(calls).fold((0u32, 0u32), |(n, t), (calls, tokens)| (n.saturating_add(calls), t.saturating_add(tokens)));
    Cost { requests: sums.0, max_output_tokens: sums.1, seconds: u32::try_from(budget(order).as_secs()).unwrap_or(u32::MAX) }
}

/// What one call of a burst takes, and a second way beside the first.
const BURST_CALL: Duration = Duration::from_secs(3);
const SECOND_WAY: Duration = Duration::from_secs(15);

/// How long a run may take: what was asked for beyond the usual has its own time on top.
#[must_use]
pub(super) fn budget(order: &Order) -> Duration {
    let hold = Duration::from_secs(u64::from(order.hold_s.unwrap_or_default()));
    let second = if order.direct.is_some() || order.via.is_some() { SECOND_WAY } else { Duration::ZERO };
    order.budget + hold + second + BURST_CALL * order.burst.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_a_default_run_asks_the_model_three_times_at_most() {
        let order = Order::new("https://api.example.com/v1", None);
        let cost = cost(&order, &plan(&order));
        assert_eq!((cost.requests, cost.max_output_tokens, cost.seconds), (3, 192, 30));
    }

    #[test]
    fn what_costs_more_is_only_planned_when_it_was_asked_for() {
        let mut order = Order::new("https://api.example.com/v1", None);
        order.is_cheap = true;
        assert_eq!(cost(&order, &plan(&order)).requests, 2);
        order.only = vec![ProbeId::P3];
        assert_eq!(plan(&order), [ProbeId::P0, ProbeId::P3]);
        order.only.clear();
        order.request_id = Some("wr_1".to_owned());
        assert_eq!(plan(&order), [ProbeId::P0, ProbeId::P1, ProbeId::P2, ProbeId::P9]);
        assert_eq!(cost(&order, &plan(&order)).requests, 0);
    }
}
