//! `weir key`: a key is shown once, when it is made; afterwards only its id is.

use std::{
    io::{IsTerminal, Read, stdin},
    time::Duration,
};

use clap::{Args, Subcommand};
use rand::RngCore;
use serde_json::json;
use weir_core::{Amount, ApiKey, KeyId, Limits, Timestamp, key::MAX_KEY_BYTES};
use weir_store::{KeyRow, KeyState, NewKey};

use super::words;
use crate::{
    args::span,
    config::secret,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::{pairs, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is printed once and kept nowhere
    #[command(after_help = "Example:\n  weir key create --account team-a --models 'gpt-4o-mini,gpt-4o*' --rpm 60 --expires 30d")]
    Create(Allowed),
    /// Take over a key of another system, read from stdin or from a variable, so that it is in no shell history
    #[command(
        after_help = "Example:\n  weir key import --account team-a < old-key.txt\n  weir key import --account team-a --from-env OLD_KEY"
    )]
    Import {
        #[command(flatten)]
        allowed: Allowed,
        /// The environment variable that holds the key; without it stdin is read
        #[arg(long, value_name = "NAME")]
        from_env: Option<String>,
    },
    /// List the keys
    #[command(after_help = "Example:\n  weir key list --json")]
    List,
    /// Show one key's account, models and limits
    #[command(after_help = "Example:\n  weir key show 0k3m9qtp")]
    Show {
        /// The key's id, as `weir key list` and records show it; never the key
        kid: String,
    },
    /// End a key for good
    #[command(after_help = "Example:\n  weir key revoke 0k3m9qtp")]
    Revoke {
        /// The key's id
        kid: String,
    },
    /// Stop a key until it is enabled again
    #[command(after_help = "Example:\n  weir key disable 0k3m9qtp")]
    Disable {
        /// The key's id
        kid: String,
    },
    /// Let a disabled key be used again
    #[command(after_help = "Example:\n  weir key enable 0k3m9qtp")]
    Enable {
        /// The key's id
        kid: String,
    },
}

/// What a new key may do.
#[derive(Debug, Args)]
pub(crate) struct Allowed {
    /// Id or name of the account that pays
    #[arg(long)]
    account: String,
    /// The group whose models it may use
    #[arg(long)]
    group: Option<String>,
    /// Models it may use, separated by commas: exact, or a prefix and `*`; without it all of the group
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    models: Vec<String>,
    /// Addresses or networks it may be used from, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sources: Vec<String>,
    /// Requests per minute
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens per minute
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Calls at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// Requests per civil day
    #[arg(long, value_name = "N")]
    daily_requests: Option<u64>,
    /// Tokens per civil day
    #[arg(long, value_name = "N")]
    daily_tokens: Option<u64>,
    /// Amount per civil day, in units, a decimal
    #[arg(long, value_name = "N", value_parser = words::parse_amount)]
    daily_amount: Option<Amount>,
    /// Time zone of the civil day
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<String>,
    /// How long it lives, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = span)]
    expires: Option<Duration>,
}

fn zone(name: &str) -> Result<String, String> {
    jiff::tz::TimeZone::get(name).map(|_| name.to_owned()).map_err(|_| "it is a time zone such as Asia/Shanghai".to_owned())
}

impl Allowed {
    fn new_key(self, now: Timestamp) -> NewKey {
        let limits = Limits {
            rpm: self.rpm,
            tpm: self.tpm,
            concurrency: self.concurrency,
            daily_requests: self.daily_requests,
            daily_tokens: self.daily_tokens,
            daily_amount: self.daily_amount.and_then(|amount| u64::try_from(amount.0).ok()),
            zone: self.zone,
        };
        NewKey {
            account: self.account,
            group: self.group,
            models: self.models,
            sources: self.sources,
            expires_at: self.expires.map(|life| now.after(life)),
            limits,
        }
    }
}

/// 64 bytes that nobody can guess.
pub(crate) fn dice() -> [u8; 64] {
    let mut dice = [0; 64];
    rand::rng().fill_bytes(&mut dice);
    dice
}

impl Key {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Create(allowed) => create(shell, allowed),
            Self::Import { allowed, from_env } => import(shell, allowed, from_env.as_deref()),
            Self::List => list(shell),
            Self::Show { kid } => show(shell, &kid),
            Self::Revoke { kid } => change(shell, &kid, KeyState::Revoked),
            Self::Disable { kid } => change(shell, &kid, KeyState::Disabled),
            Self::Enable { kid } => change(shell, &kid, KeyState::Active),
        }?;
        Ok(Exit::Done)
    }
}

fn create(shell: &Shell, allowed: Allowed) -> Result<(), Fault> {
    let now = shell.now();
    let new = allowed.new_key(now);
    let (key, kid) = shell.store()?.create_key(&new, &dice(), now)?;
    tell_of_limits(shell, &new.limits);
    if shell.flags.json {
        return shell.print_json(&json!({ "key": key.expose(), "kid": kid }));
    }
    shell.print(key.expose())?;
    shell.tell(&text!(
        "这把 key 只显示这一次,请现在保存。编号 {kid} 可以公开,排查时只给编号",
        "this key is shown once: keep it now. its id {kid} is public, and all that support needs"
    ));
    Ok(())
}

/// Nobody should believe in a limit that is not held.
fn tell_of_limits(shell: &Shell, limits: &Limits) {
    if *limits != Limits::default() {
        shell.tell(&text!(
            "注意:这些限额已保存,但这一版还不执行",
            "note: these limits are kept, but this release does not enforce them yet"
        ));
    }
}

fn import(shell: &Shell, allowed: Allowed, variable: Option<&str>) -> Result<(), Fault> {
    let key = match variable {
        Some(name) => secret::from_variable(name, &shell.variables).map_err(|fault| Fault::usage(fault.why, fault.hint))?,
        None => key_from_stdin(shell)?,
    };
    let now = shell.now();
    let new = allowed.new_key(now);
    let kid = shell.store()?.import_key(&key, &new, &dice(), now)?;
    tell_of_limits(shell, &new.limits);
    if shell.flags.json {
        return shell.print_json(&json!({ "kid": kid }));
    }
    shell.print(kid.as_str())?;
    shell.tell(&text!("已导入,编号 {kid}", "imported, its id is {kid}"));
    Ok(())
}

fn key_from_stdin(shell: &Shell) -> Result<ApiKey, Fault> {
    if stdin().is_terminal() {
        shell.tell(&text!("粘贴 key,回车后按 Ctrl-D", "paste the key, press Enter, then Ctrl-D"));
    }
    let mut text = String::new();
    let bound = u64::try_from(MAX_KEY_BYTES).unwrap_or(u64::MAX) + 2;
    stdin().lock().take(bound).read_to_string(&mut text)?;
    ApiKey::parse(text.trim()).map_err(|error| {
        Fault::usage(text!("密钥的样子不对:{error}", "failed to {error}"), text!("重新复制,只要密钥本身", "copy it again, the key alone"))
    })
}

/// A key's id as typed. A whole key is refused: it would stay in the shell's history.
pub(crate) fn kid(typed: &str) -> Result<KeyId, Fault> {
    let own = typed.strip_prefix("sk-wr-");
    if let Some(kid) = own.and_then(|rest| rest.strip_suffix("-…").or_else(|| rest.strip_suffix("-..."))) {
        return KeyId::new(kid).ok_or_else(|| not_a_kid(Exit::Usage));
    }
    if typed.starts_with("sk-") || typed.len() > 32 {
        return Err(not_a_kid(Exit::Refused));
    }
    KeyId::new(typed).ok_or_else(|| not_a_kid(Exit::Usage))
}

fn not_a_kid(exit: Exit) -> Fault {
    if exit == Exit::Refused {
        return Fault::new(exit, text!("这里要的是 key 的编号,不是 key 本身", "this wants the id of a key, not a key")).with_hint(text!(
            "若刚才输入的是真实 key,它已留在命令历史里,请更换;编号见 `weir key list`",
            "if a real key was typed, it is in the shell's history now: replace it. `weir key list` shows the ids"
        ));
    }
    Fault::usage(
        text!("这不是 key 的编号", "this is not the id of a key"),
        text!("`weir key list` 列出编号", "`weir key list` shows the ids"),
    )
}

fn state(shell: &Shell, key: &KeyRow) -> &'static str {
    match key.state {
        KeyState::Active if key.expires.is_some_and(|at| at <= shell.now()) => shell.say("已过期", "expired"),
        KeyState::Active => shell.say("可用", "active"),
        KeyState::Disabled => shell.say("已停用", "disabled"),
        KeyState::Revoked => shell.say("已作废", "revoked"),
    }
}

fn list(shell: &Shell) -> Result<(), Fault> {
    let keys = shell.store()?.keys()?;
    if shell.flags.json {
        return shell.print_json(&json!({ "keys": keys }));
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let expires = key.expires.map_or_else(|| "–".to_owned(), words::local_time);
            let group = key.group.clone().unwrap_or_else(|| "–".to_owned());
            [key.kid.to_string(), state(shell, key).to_owned(), key.account.clone(), group, words::local_time(key.created), expires]
        })
        .collect();
    let heads = shell.say(["编号", "状态", "账号", "分组", "建立时间", "到期"], ["ID", "STATE", "ACCOUNT", "GROUP", "MADE", "EXPIRES"]);
    shell.print(&table(heads, &rows))
}

fn show(shell: &Shell, typed: &str) -> Result<(), Fault> {
    let kid = kid(typed)?;
    let key = shell.store()?.key(&kid)?.ok_or_else(|| Fault::from(weir_store::StoreError::NoSuchKey(kid.to_string())))?;
    if shell.flags.json {
        return shell.print_json(&key);
    }
    let all = || shell.say("全部", "all").to_owned();
    let list = |items: &[String]| if items.is_empty() { all() } else { items.join(", ") };
    let none = || shell.say("不限", "no limit").to_owned();
    let number = |limit: Option<u64>| limit.map_or_else(none, |n| n.to_string());
    let limits = &key.limits;
    let daily_amount = limits.daily_amount.and_then(|nano| i64::try_from(nano).ok());
    let rows = [
        (shell.say("编号", "id"), key.kid.to_string()),
        (shell.say("显示为", "shown as"), key.kid.mask()),
        (shell.say("状态", "state"), state(shell, &key).to_owned()),
        (shell.say("账号", "account"), key.account.clone()),
        (shell.say("分组", "group"), key.group.clone().unwrap_or_else(|| words::none(shell.lang).to_owned())),
        (shell.say("模型", "models"), list(&key.models)),
        (shell.say("来源地址", "sources"), list(&key.sources)),
        (shell.say("建立时间", "made"), words::local_time_with_zone(key.created)),
        (shell.say("到期", "expires"), key.expires.map_or_else(|| words::none(shell.lang).to_owned(), words::local_time_with_zone)),
        (shell.say("每分钟请求", "requests per minute"), number(limits.rpm)),
        (shell.say("每分钟 token", "tokens per minute"), number(limits.tpm)),
        (shell.say("并发", "calls at once"), number(limits.concurrency)),
        (shell.say("每日请求", "requests per day"), number(limits.daily_requests)),
        (shell.say("每日 token", "tokens per day"), number(limits.daily_tokens)),
        (shell.say("每日金额", "amount per day"), daily_amount.map_or_else(none, |nano| words::amount(Amount(nano)))),
        (shell.say("时区", "zone of the day"), limits.zone.clone().unwrap_or_else(|| "UTC".to_owned())),
    ];
    shell.print(&pairs(&rows))
}

fn change(shell: &Shell, typed: &str, to: KeyState) -> Result<(), Fault> {
    let kid = kid(typed)?;
    let store = shell.store()?;
    match to {
        KeyState::Active => store.enable(&kid)?,
        KeyState::Disabled => store.disable(&kid)?,
        KeyState::Revoked => store.revoke(&kid, shell.now())?,
    }
    if shell.flags.json {
        return shell.print_json(&json!({ "kid": kid, "state": to }));
    }
    shell.tell(&match to {
        KeyState::Active => text!("key {kid} 已恢复,一秒内生效", "key {kid} is enabled, within a second"),
        KeyState::Disabled => text!("key {kid} 已停用,一秒内生效", "key {kid} is disabled, within a second"),
        KeyState::Revoked => text!("key {kid} 已作废,一秒内生效", "key {kid} is revoked, within a second"),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r39_a_whole_key_is_refused_where_an_id_is_wanted_and_a_mask_is_understood() {
        let (key, id) = ApiKey::mint(&[7; 64]);
        assert_eq!(kid(key.expose()).unwrap_err().exit(), Exit::Refused);
        assert_eq!(kid(&"x".repeat(40)).unwrap_err().exit(), Exit::Refused);
        assert_eq!(kid(&id.mask()).unwrap(), id);
        assert_eq!(kid(id.as_str()).unwrap(), id);
        assert_eq!(kid("a b").unwrap_err().exit(), Exit::Usage);
    }
}
