//! What types cannot say: names are unique, addresses are addresses, limits fit into each other, secrets can be read.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use weir_core::{Route, Scenario, retry::is_never_retried};

use super::{
    Config, Span, TimeoutRule, Upstream,
    fault::Faults,
    policy::{HighCost, Policy},
    secret,
};
use crate::lang::text;

/// Adds what is wrong with a configuration whose shape is right.
pub(crate) fn check(config: &Config, variables: &[(String, String)], faults: &mut Faults) {
    if config.server.listen.parse::<SocketAddr>().is_err() {
        faults.add("server.listen", text!("应是 IP:端口,例如 127.0.0.1:8787", "must be IP:PORT, such as 127.0.0.1:8787"));
    }
    check_limits(config, faults);
    check_timeouts(config, faults);
    check_breaker(config, faults);
    check_tasks(config, faults);
    config.retention.check(faults);
    for (scenario, policy) in config.policy.all() {
        check_policy(scenario, policy, config, faults);
    }
    let mut names = BTreeSet::new();
    for (i, upstream) in config.upstream.iter().enumerate() {
        let path = format!("upstream[{i}]");
        if !names.insert(&upstream.name) {
            faults.add(format!("{path}.name"), text!("这个名字已用过", "this name is taken"));
        }
        check_upstream(upstream, &path, variables, faults);
    }
    for (name, group) in &config.groups {
        let path = super::origin::join("groups", name);
        if let Some(within) = group.unmarked_retries {
            check_unmarked_retries(&format!("{path}.unmarked_retries"), within, config, faults);
        }
        group.limits.check(&format!("{path}.limits"), faults);
        if group.models.is_empty() {
            faults.add_with_hint(
                path,
                text!("没有列出模型,这个组什么也不能用", "lists no models, so its keys could use nothing"),
                text!("写上 models = [\"模型名\"],或删掉这个组", "write models = [\"NAME\"], or remove the group"),
            );
        }
    }
}

fn check_limits(config: &Config, faults: &mut Faults) {
    let limits = &config.limits;
    for (name, size) in [
        ("body_bytes", limits.body_bytes),
        ("answer_bytes", limits.answer_bytes),
        ("event_bytes", limits.event_bytes),
        ("head_bytes", limits.head_bytes),
    ] {
        // Less does not hold the smallest real request, event or head.
        if size.0 < 1024 {
            faults.add(format!("limits.{name}"), text!("至少 1KiB", "must be at least 1KiB"));
        }
    }
    let spans = [
        ("limits.header_read", limits.header_read),
        ("limits.body_read", limits.body_read),
        ("streams.heartbeat", config.streams.heartbeat),
        ("streams.open_early", config.streams.open_early),
    ];
    for (path, span) in spans {
        more_than_nothing(path, span, faults);
    }
    check_unmarked_retries("replay.unmarked_retries", config.replay.unmarked_retries, config, faults);
}

/// Nothing, or longer than the SDKs wait that it is meant for, and no longer than there is an answer.
fn check_unmarked_retries(path: &str, within: Span, config: &Config, faults: &mut Faults) {
    if within.0 > Duration::ZERO && within.0 < Duration::from_secs(1) {
        faults.add(path, text!("写 0s,或至少 1s:没有 SDK 更早重试", "must be 0s or at least 1s: no SDK retries sooner"));
    } else if within.0 > config.replay.window.0 {
        faults
            .add(path, text!("比 replay.window 长,那时答复已不再保留", "is longer than replay.window, when the answer is no longer kept"));
    }
}

fn more_than_nothing(path: &str, span: Span, faults: &mut Faults) {
    if span.0 == Duration::ZERO {
        faults.add(path, text!("要大于 0", "must be more than 0"));
    }
}

fn check_timeouts(config: &Config, faults: &mut Faults) {
    let all = &config.timeouts;
    let whole = TimeoutRule {
        connect: Some(all.connect),
        first_byte: Some(all.first_byte),
        idle: Some(all.idle),
        total: Some(all.total),
        ..TimeoutRule::default()
    };
    check_rule(&whole, all.total, "timeouts", faults);
    for (i, rule) in all.rule.iter().enumerate() {
        let path = format!("timeouts.rule[{i}]");
        if rule.route.is_none() && rule.model.is_none() {
            faults.add(path.clone(), text!("缺少 route 或 model,不适用于任何调用", "needs route or model: as it is, it fits no call"));
        }
        if rule.route.as_deref().is_some_and(|route| Route::of_path(route).is_none()) {
            faults.add_with_hint(
                format!("{path}.route"),
                text!("不是 weir 转发的路径", "is no path that weir forwards"),
                text!("例如 /v1/chat/completions", "such as /v1/chat/completions"),
            );
        }
        check_rule(rule, rule.total.unwrap_or(all.total), &path, faults);
    }
}

/// Every limit is more than nothing and fits into the total.
fn check_rule(rule: &TimeoutRule, total: Span, path: &str, faults: &mut Faults) {
    for (name, span) in [("connect", rule.connect), ("first_byte", rule.first_byte), ("idle", rule.idle), ("total", rule.total)] {
        let Some(span) = span else { continue };
        let path = format!("{path}.{name}");
        more_than_nothing(&path, span, faults);
        if span.0 > total.0 {
            faults
                .add(path, text!("{span} 比 total {total} 还长,永远等不到", "{span} is longer than total, {total}, and could never fire"));
        }
    }
}

fn check_breaker(config: &Config, faults: &mut Faults) {
    let breaker = &config.breaker;
    for (name, span) in [("window", breaker.window), ("open", breaker.open), ("open_max", breaker.open_max)] {
        more_than_nothing(&format!("breaker.{name}"), span, faults);
    }
    let (open, most) = (breaker.open, breaker.open_max);
    if open.0 > most.0 {
        faults.add("breaker.open", text!("{open} 比 open_max {most} 还长", "{open} is longer than open_max, {most}"));
    }
}

fn check_tasks(config: &Config, faults: &mut Faults) {
    let tasks = &config.tasks;
    for (name, span) in [("first_look", tasks.first_look), ("last_look", tasks.last_look), ("deadline", tasks.deadline)] {
        more_than_nothing(&format!("tasks.{name}"), span, faults);
    }
    let (first, last) = (tasks.first_look, tasks.last_look);
    if first.0 > last.0 {
        faults.add("tasks.first_look", text!("{first} 比 last_look {last} 还长", "{first} is longer than last_look, {last}"));
    }
}

fn check_policy(scenario: Scenario, policy: &Policy, config: &Config, faults: &mut Faults) {
    let path = format!("policy.{}", scenario.label());
    let spans = [
        ("client_timeout", policy.client_timeout),
        ("proxy_timeout", policy.proxy_timeout),
        ("upstream_timeout", policy.upstream_timeout),
        ("backoff.base", policy.backoff.base),
    ];
    for (name, span) in spans {
        more_than_nothing(&format!("{path}.{name}"), span, faults);
    }
    let (base, cap, patience, total) = (policy.backoff.base, policy.backoff.cap, policy.patience, policy.upstream_timeout);
    if base.0 > cap.0 {
        faults.add(format!("{path}.backoff.base"), text!("{base} 比 cap {cap} 还长", "{base} is longer than cap, {cap}"));
    }
    if patience.0 >= total.0 {
        faults.add(
            format!("{path}.patience"),
            text!("{patience} 不短于 upstream_timeout {total}", "{patience} is not shorter than upstream_timeout, {total}"),
        );
    }
    if let Some(status) = policy.retry_statuses.iter().find(|status| is_never_retried(**status)) {
        faults.add_with_hint(
            format!("{path}.retry_statuses"),
            text!("{status} 不能重试:等待改变不了它", "{status} is never retried: waiting cannot mend it"),
            text!("可用 408、409、425、429 和 500–599", "408, 409, 425, 429 and 500 to 599 may be"),
        );
    }
    if scenario == Scenario::MediaTask && policy.high_cost == HighCost::FailoverOnce {
        faults.add_with_hint(
            format!("{path}.high_cost"),
            text!("任务可能已提交,不能再发一次", "a task that may have been submitted is never sent again"),
            text!("用 unsent_only 或 never", "write unsent_only or never"),
        );
    }
    let charge = weir_core::ChargeTerms::of(scenario).label();
    if policy.core().charge.label() != charge {
        faults.add(format!("{path}.charge"), text!("这个场景只能是 {charge}", "must be {charge} for this scenario"));
    }
    check_silence(&path, policy.proxy_timeout, config, faults);
}

/// What fills a silence comes before a proxy takes it for the end.
fn check_silence(path: &str, proxy: Span, config: &Config, faults: &mut Faults) {
    for (name, span) in [("heartbeat", config.streams.heartbeat), ("open_early", config.streams.open_early)] {
        if span.0 >= proxy.0 {
            faults.add(
                format!("streams.{name}"),
                text!(
                    "{span} 不短于 {path}.proxy_timeout {proxy},代理会先断开",
                    "{span} is not shorter than {path}.proxy_timeout, {proxy}: a proxy would cut first"
                ),
            );
        }
    }
}

fn check_upstream(upstream: &Upstream, path: &str, variables: &[(String, String)], faults: &mut Faults) {
    check_name(&upstream.name, path, faults);
    if let Some((why, hint)) = wrong_base_url(&upstream.base_url) {
        faults.add_with_hint(format!("{path}.base_url"), why, hint);
    }
    if upstream.channel.is_empty() {
        faults.add_with_hint(
            path,
            text!("没有通道", "has no channel"),
            text!("加一段 [[upstream.channel]],写上 name 和 key_env", "add [[upstream.channel]] with name and key_env"),
        );
    }
    let mut names = BTreeSet::new();
    for (i, channel) in upstream.channel.iter().enumerate() {
        let path = format!("{path}.channel[{i}]");
        check_name(&channel.name, &path, faults);
        if !names.insert(&channel.name) {
            faults.add(format!("{path}.name"), text!("这个名字已用过", "this name is taken"));
        }
        if let Err(fault) = secret::read(channel, variables) {
            faults.add_with_hint(format!("{path}{}", fault.below), fault.why, fault.hint);
        }
    }
}

fn check_name(name: &str, path: &str, faults: &mut Faults) {
    let fine = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !fine {
        faults.add(format!("{path}.name"), text!("1–64 个字母、数字、-、_ 或 .", "must be 1 to 64 letters, digits, -, _ or ."));
    }
}

/// What is wrong with a base URL and how to write it.
pub(crate) fn wrong_base_url(url: &str) -> Option<(crate::lang::Text, crate::lang::Text)> {
    let example = || text!("例如 https://api.openai.com/v1", "such as https://api.openai.com/v1");
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Some((text!("要以 http:// 或 https:// 开头", "must begin with http:// or https://"), example()));
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return Some((text!("地址里不能带用户名和密码", "must not hold a user name or password"), super::fault::secrets_elsewhere()));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    if host.is_empty() || !host.bytes().all(fine) {
        return Some((text!("主机名不对", "has no proper host"), example()));
    }
    if path.contains(['?', '#', ' ']) {
        return Some((text!("不能带 ?、# 或空格", "must not hold ?, # or a space"), example()));
    }
    let path = path.trim_end_matches('/');
    for end in ["/chat/completions", "/completions", "/responses", "/messages", "/embeddings"] {
        if let Some(base) = path.strip_suffix(end) {
            let meant = format!("{}{base}", &url[..url.len() - rest.len() + host.len()]);
            return Some((
                text!("写到了具体接口 {end}", "ends in {end}, which is one call's path"),
                text!("改为 {meant}", "write {meant}"),
            ));
        }
    }
    path.contains("/v1/v1").then(|| (text!("/v1 重复了", "holds /v1 twice"), example()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_scheme_host_and_path() {
        for url in ["https://api.openai.com/v1", "http://127.0.0.1:8080/v1/", "http://[::1]:1", "https://x.example/openai/v1"] {
            assert!(wrong_base_url(url).is_none(), "{url}");
        }
        for (url, word) in [
            ("api.openai.com/v1", "must begin"),
            ("ftp://x", "must begin"),
            ("https://", "host"),
            ("https://user:pw@x/v1", "password"),
            ("https://x/v1?a=1", "?"),
            ("https://x/v1/v1", "twice"),
            ("https://x/v1/chat/completions", "one call's path"),
        ] {
            let (why, _) = wrong_base_url(url).unwrap();
            assert!(why.en.contains(word), "{url}: {}", why.en);
        }
    }

    #[test]
    fn a_base_url_that_went_too_far_says_where_it_should_end() {
        let (_, hint) = wrong_base_url("https://x.example/api/v1/chat/completions/").unwrap();
        assert_eq!(hint.en, "write https://x.example/api/v1");
    }
}
