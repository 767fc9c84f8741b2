//! `weir policy`: how each kind of use is retried, every value written down.

use std::time::Duration;

use clap::{Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};
use weir_core::{BreakerTerms, BudgetTerms, ChargeTerms, HighCost, Lang, RetryPolicy, Scenario};

use super::words;
use crate::{
    config::{Config, Span},
    fault::{Exit, Fault},
    lang::{pick, text},
    shell::Shell,
    table::pairs,
};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show what is in force: who waits how long, what is retried, how often and when, what may cost twice, what is charged
    #[command(after_help = "Example:\n  weir policy show\n  weir policy show --scenario batch --json")]
    Show {
        /// Only this kind of use
        #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Scenario::ALL.map(Scenario::label)))]
        scenario: Option<String>,
    },
}

impl PolicyCommand {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let Self::Show { scenario } = self;
        let config = shell.load()?.config;
        let wanted = scenario.as_deref().and_then(Scenario::from_label);
        if shell.flags.json {
            shell.print_json(&view(&config, wanted))?;
        } else {
            shell.print(&page(&config, wanted, shell.lang))?;
        }
        Ok(Exit::Done)
    }
}

fn chosen(config: &Config, wanted: Option<Scenario>) -> impl Iterator<Item = (Scenario, RetryPolicy)> {
    let policies = config.policy.core();
    let scenarios = Scenario::ALL.into_iter().filter(move |scenario| wanted.is_none_or(|wanted| wanted == *scenario));
    scenarios.map(move |scenario| (scenario, policies.of(scenario).clone()))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn view(config: &Config, wanted: Option<Scenario>) -> Value {
    let policies: Vec<Value> = chosen(config, wanted)
        .map(|(scenario, policy)| {
            json!({
                "scenario": scenario.label(),
                "client_timeout_ms": millis(policy.client_timeout),
                "proxy_timeout_ms": millis(policy.proxy_timeout),
                "upstream_timeout_ms": millis(policy.upstream_timeout),
                "max_attempts": policy.max_attempts,
                "retry_statuses": policy.retry_statuses,
                "backoff": { "base_ms": millis(policy.backoff.base), "cap_ms": millis(policy.backoff.cap), "jitter": "full" },
                "high_cost": policy.high_cost.label(),
                "charge": policy.charge.label(),
                "patience_ms": millis(policy.patience),
            })
        })
        .collect();
    let (budget, breaker) = (config.retry.core(), config.breaker.core());
    json!({
        "policies": policies,
        "budget": { "percent": budget.percent, "floor": budget.floor, "floor_every_ms": millis(weir_core::retry::FLOOR_EVERY) },
        "breaker": {
            "window_ms": millis(breaker.window),
            "failures": breaker.failures,
            "percent": breaker.percent,
            "open_ms": millis(breaker.open),
            "open_max_ms": millis(breaker.open_max),
            "probes": breaker.probes,
        },
    })
}

fn page(config: &Config, wanted: Option<Scenario>, lang: Lang) -> String {
    let mut page = String::new();
    for (scenario, policy) in chosen(config, wanted) {
        page.push_str(&format!("{}  {}\n", scenario.label(), words::scenario(lang, scenario)));
        page.push_str(&indented(&pairs(&rows(scenario, &policy, lang))));
        page.push('\n');
    }
    page.push_str(pick(lang, "每个上游的重试预算\n", "the retry budget of each upstream\n"));
    page.push_str(&indented(&pairs(&budget(config.retry.core(), lang))));
    page.push_str(pick(lang, "\n通道熔断\n", "\nthe breaker of each channel and model\n"));
    page.push_str(&indented(&pairs(&breaker(config.breaker.core(), lang))));
    page
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn rows(scenario: Scenario, policy: &RetryPolicy, lang: Lang) -> Vec<(&'static str, String)> {
    let name = scenario.label();
    let used = match scenario {
        Scenario::ShortChat => text!("没有指明场景的调用", "calls that name no other scenario"),
        Scenario::Batch | Scenario::MediaTask | Scenario::SharedKey => {
            text!("带请求头 x-weir-scenario: {name} 的调用", "calls with the header x-weir-scenario: {name}")
        }
    };
    let (client, proxy, upstream) = (Span(policy.client_timeout), Span(policy.proxy_timeout), Span(policy.upstream_timeout));
    let (attempts, statuses) = (policy.max_attempts, statuses(&policy.retry_statuses, lang));
    let (base, cap, patience) = (Span(policy.backoff.base), Span(policy.backoff.cap), Span(policy.patience));
    let say = |zh, en| pick(lang, zh, en);
    let told = |text: crate::lang::Text| text.in_lang(lang).to_owned();
    vec![
        (say("适用", "used for"), told(used)),
        (
            say("客户端超时", "client timeout"),
            told(text!("{client},SDK 自己声明的优先;在此之前给出回答", "{client} unless the SDK announces its own; answered before it")),
        ),
        (say("代理超时", "proxy timeout"), told(text!("{proxy} 的静默;心跳更短", "{proxy} of silence; heartbeats come sooner"))),
        (
            say("上游总时限", "upstream timeout"),
            told(text!("{upstream},含全部尝试和等待", "{upstream} in all, every attempt and wait included")),
        ),
        (say("最多尝试", "attempts"), told(text!("{attempts} 次,含第一次", "{attempts} at most, the first included"))),
        (say("可重试状态码", "retried statuses"), statuses),
        (
            say("退避", "backoff"),
            told(text!("从 {base} 翻倍到 {cap},全抖动,只增不减", "{base} doubling to {cap}, full jitter, never shorter than before")),
        ),
        (say("高成本例外", "high-cost exception"), high_cost(policy.high_cost, lang)),
        (say("扣费", "charge"), charge(policy.charge, lang)),
        (
            say("代为等待", "patience"),
            told(if policy.patience.is_zero() {
                text!("网关不代等:上游提示的等待直接告诉客户端", "none: of every told wait the client is told at once")
            } else {
                text!(
                    "上游提示的等待不超过 {patience} 时由网关等,更长则告诉客户端",
                    "a told wait up to {patience} is waited here; of a longer one the client is told"
                )
            }),
        ),
    ]
}

/// `408, 409, 520–524`.
fn statuses(statuses: &[u16], lang: Lang) -> String {
    let mut sorted = statuses.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs: Vec<String> = sorted
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [first, .., last] if run.len() > 2 => format!("{first}–{last}"),
            _ => run.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        })
        .collect();
    if runs.is_empty() { words::none(lang).to_owned() } else { runs.join(", ") }
}

fn high_cost(exception: HighCost, lang: Lang) -> String {
    let (zh, en) = match exception {
        HighCost::Never => ("可能已送达却没有回答的,不再发送", "what may have arrived and was not answered is never sent again"),
        HighCost::UnsentOnly => ("只重发确认没有送出的", "only what provably never left is sent again"),
        HighCost::FailoverOnce => {
            ("没有回答的最多换一个通道发一次,绝不在同一通道重发", "what was not answered goes to another channel once, never to the same")
        }
    };
    format!("{} ({})", pick(lang, zh, en), exception.label())
}

fn charge(terms: ChargeTerms, lang: Lang) -> String {
    let (zh, en) = match terms {
        ChargeTerms::PerCall => {
            ("无论尝试几次只按回答的用量扣一次;没有输出不扣", "once, by the usage of the answer; nothing where no output came")
        }
        ChargeTerms::PerTask => ("提交时预留,成功后扣一次,失败退回", "held at submission, charged once on success, given back on failure"),
    };
    format!("{} ({})", pick(lang, zh, en), terms.label())
}

fn budget(budget: BudgetTerms, lang: Lang) -> Vec<(&'static str, String)> {
    let (percent, floor, every) = (budget.percent, budget.floor, Span(weir_core::retry::FLOOR_EVERY));
    let say = |zh, en| pick(lang, zh, en);
    vec![
        (say("占比", "share"), text!("首次尝试数的 {percent}%", "{percent} % of the first attempts").in_lang(lang).to_owned()),
        (say("保底", "floor"), text!("{floor} 次,每 {every} 恢复一次", "{floor}, one comes back every {every}").in_lang(lang).to_owned()),
    ]
}

fn breaker(terms: BreakerTerms, lang: Lang) -> Vec<(&'static str, String)> {
    let (window, failures, percent) = (Span(terms.window), terms.failures, terms.percent);
    let (open, most, probes) = (Span(terms.open), Span(terms.open_max), terms.probes);
    let say = |zh, en| pick(lang, zh, en);
    let told = |text: crate::lang::Text| text.in_lang(lang).to_owned();
    vec![
        (
            say("打开", "opens"),
            told(text!(
                "{window} 内失败至少 {failures} 次且不少于 {percent}%,或连续失败 {failures} 次",
                "after {failures} failures and {percent} % of all within {window}, or {failures} in a row"
            )),
        ),
        (say("时长", "stays open"), told(text!("{open},探测失败则翻倍,最长 {most}", "{open}, doubled when a probe fails, {most} at most"))),
        (say("恢复", "closes"), told(text!("一次一个探测,成功 {probes} 次后恢复", "after {probes} good probes, one at a time"))),
        (
            say("作用", "effect"),
            told(text!(
                "其他通道优先;全都打开时仍照常请求,不会因熔断而失败",
                "other channels come first; where all are open one is asked all the same"
            )),
        ),
    ]
}
