//! From what an operator wrote to what the gateway runs on. Everything was checked before; what fails here was changed in between.

use std::sync::Arc;

use weir_client::Target;
use weir_core::{Price, Route};
use weir_gateway::{Channel, ClientGone, Limits, PriceList, Replay, Settings, Streams, TimeoutRule, Upstream};

use super::{Config, ModelPrice, ReplayStore, Size, UnknownPrice, secret};
use crate::{
    fault::{Exit, Fault},
    lang::text,
};

const MILLION: u64 = 1_000_000;

/// The gateway's settings, with every secret read.
pub(crate) fn settings(config: &Config, variables: &[(String, String)]) -> Result<Settings, Fault> {
    let all = &config.timeouts;
    let timeouts = weir_core::Timeouts { connect: all.connect.0, first_byte: all.first_byte.0, idle: all.idle.0, total: all.total.0 };
    let rule = |rule: &super::TimeoutRule| TimeoutRule {
        route: rule.route.as_deref().and_then(Route::of_path),
        model: rule.model.clone(),
        timeouts: weir_core::Timeouts {
            connect: rule.connect.unwrap_or(all.connect).0,
            first_byte: rule.first_byte.unwrap_or(all.first_byte).0,
            idle: rule.idle.unwrap_or(all.idle).0,
            total: rule.total.unwrap_or(all.total).0,
        },
    };
    Ok(Settings {
        limits: limits(config),
        streams: Streams {
            heartbeat: config.streams.heartbeat.0,
            open_early: config.streams.open_early.0,
            linger: config.streams.linger.0,
            client_gone: match config.streams.client_gone {
                super::ClientGone::Cancel => ClientGone::Cancel,
                super::ClientGone::Finish => ClientGone::Finish,
            },
        },
        replay: replay(config),
        upstreams: config.upstream.iter().map(|one| upstream(one, variables)).collect::<Result<_, _>>()?,
        timeouts,
        timeout_rules: all.rule.iter().map(rule).collect(),
        policies: config.policy.core(),
        budget: config.retry.core(),
        breaker: config.breaker.core(),
        tasks: config.tasks.gateway(),
        prices: PriceList {
            models: config.prices.models.iter().map(|(model, written)| (model.clone(), price(written))).collect(),
            fallback: (config.prices.unknown == UnknownPrice::Free).then(Price::default),
        },
        groups: config.groups.iter().map(|(name, group)| (name.clone(), group.models.clone())).collect(),
        group_limits: config.groups.iter().map(|(name, group)| (name.clone(), group.limits.limits())).collect(),
        group_retries: config.groups.iter().filter_map(|(name, group)| Some((name.clone(), group.unmarked_retries?.0))).collect(),
    })
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    Limits {
        body_bytes: bytes(limits.body_bytes),
        answer_bytes: bytes(limits.answer_bytes),
        event_bytes: bytes(limits.event_bytes),
        head_bytes: bytes(limits.head_bytes),
        connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
        header_read: limits.header_read.0,
        body_read: limits.body_read.0,
        max_wait: limits.max_wait.0,
    }
}

fn replay(config: &Config) -> Replay {
    let (replay, bytes) = (&config.replay, |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX));
    Replay {
        window: replay.window.0,
        answer_bytes: bytes(replay.answer_bytes),
        bytes: bytes(replay.bytes),
        calls: usize::try_from(replay.calls).unwrap_or(usize::MAX),
        unmarked_retries: replay.unmarked_retries.0,
        disk_bytes: (replay.store == ReplayStore::Disk).then_some(replay.disk_bytes.0),
    }
}

fn upstream(written: &super::Upstream, variables: &[(String, String)]) -> Result<Upstream, Fault> {
    let channel = |written: &super::Channel| {
        let key = secret::read(written, variables).map_err(|fault| Fault::usage(fault.why, fault.hint))?;
        Ok::<_, Fault>(Channel {
            name: written.name.clone(),
            key: key.map(Arc::new),
            models: written.models.clone(),
            weight: written.weight,
            limits: written.limits.limits(),
        })
    };
    Ok(Upstream {
        name: written.name.clone(),
        tasks: written.tasks.and_then(super::TaskAdapter::adapter),
        target: target(&written.base_url)?,
        channels: written.channel.iter().map(channel).collect::<Result<_, _>>()?,
    })
}

/// Where a base URL leads.
pub(crate) fn target(base_url: &str) -> Result<Target, Fault> {
    Target::parse(base_url).map_err(|error| Fault::new(Exit::Usage, text!("上游地址不对:{error}", "failed to {error}")))
}

/// Prices per million tokens become nano-units per token; `shape` refused what is finer.
fn price(written: &ModelPrice) -> Price {
    let each = |money: super::Money| money.each(MILLION).unwrap_or(u64::MAX);
    Price {
        input: each(written.input),
        cached: each(written.cached.unwrap_or(written.input)),
        output: each(written.output),
        image: written.image.0,
        second: written.second.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Money;

    #[test]
    fn a_price_per_million_becomes_nano_units_each_and_cached_input_costs_as_input_unless_told() {
        let money = |text: &str| text.parse::<Money>().unwrap();
        let written = ModelPrice { input: money("0.15"), output: money("0.6"), image: money("0.04"), ..ModelPrice::default() };
        assert_eq!(price(&written), Price { input: 150, cached: 150, output: 600, image: 40_000_000, second: 0 });
        let written = ModelPrice { cached: Some(money("0.075")), ..written };
        assert_eq!(price(&written).cached, 75);
    }
}
