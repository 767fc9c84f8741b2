//! `weir account`: who pays.

use clap::Subcommand;
use serde_json::json;
use weir_core::{Amount, Limits};
use weir_store::StoreError;

use super::{
    key::limits::{ChangedLimits, GivenLimits, lines},
    words,
};
use crate::{
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::{pairs, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account
    #[command(after_help = "Example:\n  weir account create team-a --rpm 600")]
    Create {
        /// A name of your own
        name: String,
        #[command(flatten)]
        limits: GivenLimits,
    },
    /// Change limits that all keys of an account have together; those not named stay as they are
    #[command(after_help = "Example:\n  weir account limit team-a --daily-amount 25.00 --rpm none")]
    Limit {
        /// Id or name
        account: String,
        #[command(flatten)]
        changed: ChangedLimits,
    },
    /// List the accounts and their balances
    #[command(after_help = "Example:\n  weir account list --json")]
    List,
    /// Add to an account's balance; a negative amount corrects an earlier credit
    #[command(after_help = "Example:\n  weir account credit team-a 25.00 --note \"November\"")]
    Credit {
        /// Id or name
        account: String,
        /// In units, a decimal; JSON shows it in nano-units (1 unit is 1,000,000,000)
        #[arg(value_parser = words::parse_amount, allow_hyphen_values = true)]
        amount: Amount,
        /// A note for the ledger line
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
}

impl Account {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        match self {
            Self::Create { name, limits } => create(shell, &name, &limits.limits()),
            Self::Limit { account, changed } => limit(shell, &account, changed),
            Self::List => list(shell),
            Self::Credit { account, amount, note } => credit(shell, &account, amount, &note),
        }?;
        Ok(Exit::Done)
    }
}

fn create(shell: &Shell, name: &str, limits: &Limits) -> Result<(), Fault> {
    let store = shell.store_or_new()?;
    let mut account = store.create_account(name, shell.now())?;
    if *limits != Limits::default() {
        store.set_account_limits(&account.id, limits)?;
        account.limits = limits.clone();
    }
    if shell.flags.json {
        return shell.print_json(&account);
    }
    shell.print(&account.id)?;
    let (name, id) = (&account.name, &account.id);
    shell.tell(&text!(
        "已建账号 {name}({id}),余额 0。下一步:weir account credit {name} 10,再 weir key create --account {name}",
        "made account {name} ({id}), balance 0. next: weir account credit {name} 10, then weir key create --account {name}"
    ));
    Ok(())
}

fn limit(shell: &Shell, account: &str, changed: ChangedLimits) -> Result<(), Fault> {
    let store = shell.store()?;
    let mut account = store.account(account)?.ok_or_else(|| Fault::from(StoreError::NoSuchAccount(account.to_owned())))?;
    changed.apply(&mut account.limits);
    store.set_account_limits(&account.id, &account.limits)?;
    if shell.flags.json {
        return shell.print_json(&account);
    }
    shell.print(&pairs(&lines(shell, &account.limits, None)))?;
    let name = &account.name;
    shell.tell(&text!("账号 {name} 的限额已更新,一秒内生效", "the limits of account {name} are changed, within a second"));
    Ok(())
}

fn list(shell: &Shell) -> Result<(), Fault> {
    let accounts = shell.store()?.accounts()?;
    if shell.flags.json {
        return shell.print_json(&json!({ "accounts": accounts }));
    }
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let [credits, settled, balance] = [account.credits, account.settled, account.balance].map(words::amount);
            [account.id.clone(), account.name.clone(), words::local_time(account.created), credits, settled, balance]
        })
        .collect();
    let heads = shell.say(["编号", "名称", "建立时间", "充值", "已扣", "余额"], ["ID", "NAME", "MADE", "CREDITED", "CHARGED", "BALANCE"]);
    shell.print(&table(heads, &rows))
}

fn credit(shell: &Shell, account: &str, amount: Amount, note: &str) -> Result<(), Fault> {
    let store = shell.store()?;
    let entry = store.credit(account, amount, note, shell.now())?;
    if shell.flags.json {
        return shell.print_json(&entry);
    }
    shell.print(&entry.id)?;
    let amount = words::amount(amount);
    let balance = store.account(account)?.map_or_else(String::new, |account| words::amount(account.balance));
    shell.tell(&text!("已记入 {amount},余额 {balance}", "credited {amount}, balance {balance}"));
    Ok(())
}
