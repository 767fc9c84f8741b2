//! `weir key`: a key is shown once, when it is made; afterwards only its id is.

pub(crate) mod limits;
mod show;
mod split;

use std::{
    io::{IsTerminal, Read, stdin},
    time::Duration,
};

use clap::{Args, Subcommand};
use rand::RngCore;
use serde_json::json;
use weir_core::{ApiKey, KeyId, Timestamp, key::MAX_KEY_BYTES};
use weir_store::{KeyRow, KeyState, NewKey, Store, StoreError};

use self::{
    limits::{ChangedLimits, GivenLimits},
    split::Split,
};
use crate::{
    args::span,
    config::secret,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::pairs,
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
    /// Show one key's account, models and limits, what it used today and who called
    #[command(after_help = "Example:\n  weir key show 0k3m9qtp")]
    Show {
        /// The key's id, as `weir key list` and records show it; never the key
        kid: String,
    },
    /// Give each caller of a shared key one of its own; the shared key goes on working
    #[command(
        after_help = "Example:\n  weir key split 0k3m9qtp --into web,batch --daily-requests 500\n  weir key split 0k3m9qtp --by-caller\n\n\
                      Limits are for each new key; those not given are the key's own, divided by the number of new keys."
    )]
    Split(Split),
    /// Change limits of a key; those not named stay as they are
    #[command(after_help = "Example:\n  weir key limit 0k3m9qtp --rpm 30 --daily-tokens none")]
    Limit {
        /// The key's id
        kid: String,
        #[command(flatten)]
        changed: ChangedLimits,
    },
    /// End a key for good; keys split from it go on working
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
    #[command(flatten)]
    limits: GivenLimits,
    /// How long it lives, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = span)]
    expires: Option<Duration>,
}

impl Allowed {
    fn new_key(self, now: Timestamp) -> NewKey {
        NewKey {
            account: self.account,
            group: self.group,
            models: self.models,
            sources: self.sources,
            expires_at: self.expires.map(|life| now.after(life)),
            limits: self.limits.limits(),
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
            Self::List => show::list(shell),
            Self::Show { kid } => show::show(shell, &kid),
            Self::Split(split) => split.run(shell),
            Self::Limit { kid, changed } => limit(shell, &kid, changed),
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

fn import(shell: &Shell, allowed: Allowed, variable: Option<&str>) -> Result<(), Fault> {
    let key = match variable {
        Some(name) => secret::from_variable(name, &shell.variables).map_err(|fault| Fault::usage(fault.why, fault.hint))?,
        None => key_from_stdin(shell)?,
    };
    let now = shell.now();
    let new = allowed.new_key(now);
    let kid = shell.store()?.import_key(&key, &new, &dice(), now)?;
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

/// The key with this id, which must exist.
fn find(store: &Store, kid: &KeyId) -> Result<KeyRow, Fault> {
    store.key(kid)?.ok_or_else(|| Fault::from(StoreError::NoSuchKey(kid.to_string())))
}

fn limit(shell: &Shell, typed: &str, changed: ChangedLimits) -> Result<(), Fault> {
    let kid = kid(typed)?;
    let store = shell.store()?;
    let mut limits = find(&store, &kid)?.limits;
    changed.apply(&mut limits);
    store.set_key_limits(&kid, &limits)?;
    if shell.flags.json {
        return shell.print_json(&json!({ "kid": kid, "limits": limits }));
    }
    shell.print(&pairs(&limits::lines(shell, &limits, None)))?;
    shell.tell(&text!("key {kid} 的限额已更新,一秒内生效", "the limits of key {kid} are changed, within a second"));
    Ok(())
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
