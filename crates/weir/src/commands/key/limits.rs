//! Limits as they are typed, changed and shown: the same words for keys and accounts.

use clap::Args;
use jiff::tz::TimeZone;
use weir_core::{
    Amount, Limits, Timestamp,
    limit::{self, Day},
};

use super::super::words;
use crate::shell::Shell;

/// Limits of something new.
#[derive(Debug, Default, Args)]
pub(crate) struct GivenLimits {
    /// Requests per minute
    #[arg(long, value_name = "N", value_parser = count)]
    rpm: Option<u64>,
    /// Tokens per minute
    #[arg(long, value_name = "N", value_parser = count)]
    tpm: Option<u64>,
    /// Calls at once
    #[arg(long, value_name = "N", value_parser = count)]
    concurrency: Option<u64>,
    /// Requests per civil day
    #[arg(long, value_name = "N", value_parser = count)]
    daily_requests: Option<u64>,
    /// Tokens per civil day
    #[arg(long, value_name = "N", value_parser = count)]
    daily_tokens: Option<u64>,
    /// Amount per civil day, in units, a decimal
    #[arg(long, value_name = "N", value_parser = daily_amount)]
    daily_amount: Option<u64>,
    /// Time zone of the civil day
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<String>,
}

impl GivenLimits {
    pub(crate) fn limits(self) -> Limits {
        let Self { rpm, tpm, concurrency, daily_requests, daily_tokens, daily_amount, zone } = self;
        Limits { rpm, tpm, concurrency, daily_requests, daily_tokens, daily_amount, zone }
    }

    /// What each of `children` gets: what was given, else an equal part of what their parent has, but never nothing.
    pub(crate) fn or_part_of(self, parent: &Limits, children: usize) -> Limits {
        let children = u64::try_from(children).unwrap_or(u64::MAX).max(1);
        let part = |given: Option<u64>, whole: Option<u64>| given.or(whole.map(|whole| (whole / children).max(1)));
        Limits {
            rpm: part(self.rpm, parent.rpm),
            tpm: part(self.tpm, parent.tpm),
            concurrency: part(self.concurrency, parent.concurrency),
            daily_requests: part(self.daily_requests, parent.daily_requests),
            daily_tokens: part(self.daily_tokens, parent.daily_tokens),
            daily_amount: part(self.daily_amount, parent.daily_amount),
            zone: self.zone.or_else(|| parent.zone.clone()),
        }
    }
}

/// What becomes of one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change<T> {
    To(T),
    Lift,
}

impl<T> Change<T> {
    fn parse(text: &str, value: impl FnOnce(&str) -> Result<T, String>) -> Result<Self, String> {
        if text == "none" { Ok(Self::Lift) } else { value(text).map(Self::To) }
    }

    fn apply(self, limit: &mut Option<T>) {
        *limit = match self {
            Self::To(value) => Some(value),
            Self::Lift => None,
        };
    }
}

/// Limits that are to change; the rest stay as they are.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct ChangedLimits {
    /// Requests per minute
    #[arg(long, value_name = "N|none", value_parser = changed_count)]
    rpm: Option<Change<u64>>,
    /// Tokens per minute
    #[arg(long, value_name = "N|none", value_parser = changed_count)]
    tpm: Option<Change<u64>>,
    /// Calls at once
    #[arg(long, value_name = "N|none", value_parser = changed_count)]
    concurrency: Option<Change<u64>>,
    /// Requests per civil day
    #[arg(long, value_name = "N|none", value_parser = changed_count)]
    daily_requests: Option<Change<u64>>,
    /// Tokens per civil day
    #[arg(long, value_name = "N|none", value_parser = changed_count)]
    daily_tokens: Option<Change<u64>>,
    /// Amount per civil day, in units, a decimal
    #[arg(long, value_name = "N|none", value_parser = |text: &str| Change::parse(text, daily_amount))]
    daily_amount: Option<Change<u64>>,
    /// Time zone of the civil day; none is UTC
    #[arg(long, value_name = "ZONE|none", value_parser = |text: &str| Change::parse(text, zone))]
    zone: Option<Change<String>>,
}

impl ChangedLimits {
    pub(crate) fn apply(self, limits: &mut Limits) {
        for (change, limit) in [
            (self.rpm, &mut limits.rpm),
            (self.tpm, &mut limits.tpm),
            (self.concurrency, &mut limits.concurrency),
            (self.daily_requests, &mut limits.daily_requests),
            (self.daily_tokens, &mut limits.daily_tokens),
            (self.daily_amount, &mut limits.daily_amount),
        ] {
            if let Some(change) = change {
                change.apply(limit);
            }
        }
        if let Some(change) = self.zone {
            change.apply(&mut limits.zone);
        }
    }
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("it is at least 1; to stop a key, disable or revoke it".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("it is a whole number".to_owned()),
    }
}

fn changed_count(text: &str) -> Result<Change<u64>, String> {
    Change::parse(text, count)
}

fn daily_amount(text: &str) -> Result<u64, String> {
    let amount = words::parse_amount(text)?;
    u64::try_from(amount.0).ok().filter(|nano| *nano > 0).ok_or_else(|| "it is more than 0; to stop a key, disable or revoke it".to_owned())
}

fn zone(name: &str) -> Result<String, String> {
    limit::zone(name).map(|_| name.to_owned()).ok_or_else(|| "it is a time zone such as Asia/Shanghai".to_owned())
}

/// The civil day of these limits.
pub(crate) fn day(limits: &Limits, now: Timestamp) -> Day {
    Day::of(&limits.zone.as_deref().and_then(limit::zone).unwrap_or(TimeZone::UTC), now)
}

/// An amount of nano-units as people read it.
fn units(nano: u64) -> String {
    words::amount(Amount(i64::try_from(nano).unwrap_or(i64::MAX)))
}

/// Limits as lines for people; `today` is shown before those of a day.
pub(crate) fn lines(shell: &Shell, limits: &Limits, today: Option<weir_store::Used>) -> Vec<(&'static str, String)> {
    let none = || shell.say("不限", "no limit").to_owned();
    let number = |limit: Option<u64>| limit.map_or_else(none, |n| n.to_string());
    let of_day = |used: Option<String>, limit: String| {
        used.map_or_else(|| limit.clone(), |used| shell.say(format!("今日已用 {used} / {limit}"), format!("{used} used today / {limit}")))
    };
    let amount = limits.daily_amount.map_or_else(none, units);
    vec![
        (shell.say("每分钟请求", "requests per minute"), number(limits.rpm)),
        (shell.say("每分钟 token", "tokens per minute"), number(limits.tpm)),
        (shell.say("并发", "calls at once"), number(limits.concurrency)),
        (shell.say("每日请求", "requests per day"), of_day(today.map(|used| used.requests.to_string()), number(limits.daily_requests))),
        (shell.say("每日 token", "tokens per day"), of_day(today.map(|used| used.tokens.to_string()), number(limits.daily_tokens))),
        (shell.say("每日金额", "amount per day"), of_day(today.map(|used| words::amount(used.amount)), amount)),
        (shell.say("时区", "zone of the day"), limits.zone.clone().unwrap_or_else(|| "UTC".to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r37_a_child_gets_an_equal_part_of_what_was_not_given_and_never_nothing() {
        let parent = Limits { rpm: Some(10), tpm: Some(2), zone: Some("Asia/Shanghai".to_owned()), ..Limits::default() };
        let given = GivenLimits { concurrency: Some(4), ..GivenLimits::default() };
        let child = Limits { rpm: Some(3), tpm: Some(1), concurrency: Some(4), zone: parent.zone.clone(), ..Limits::default() };
        assert_eq!(given.or_part_of(&parent, 3), child);
    }

    #[test]
    fn a_limit_is_a_number_or_none_and_never_zero() {
        assert_eq!(changed_count("none"), Ok(Change::Lift));
        assert_eq!(changed_count("7"), Ok(Change::To(7)));
        for text in ["0", "-1", "", "None", "1.5"] {
            assert!(changed_count(text).is_err(), "{text}");
        }
        assert_eq!(daily_amount("2.5"), Ok(2_500_000_000));
        assert!(daily_amount("0").is_err() && daily_amount("-1").is_err());
    }
}
