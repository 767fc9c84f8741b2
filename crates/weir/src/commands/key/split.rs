//! `weir key split`: a key of its own for everybody who shares one.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};
use weir_core::KeyId;
use weir_store::{CallerUsage, KeyRow, KeyState, NewChild, Store};

use super::{dice, find, kid, limits::GivenLimits};
use crate::{fault::Fault, lang::text, shell::Shell, table::table};

/// How far back callers are looked for, in milliseconds: seven days.
const CALLERS_SINCE_MS: i64 = 7 * 86_400_000;

/// Into what a key is split.
#[derive(Debug, Args)]
pub(crate) struct Split {
    /// The key's id
    kid: String,
    /// A label for each new key, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required_unless_present = "by_caller", conflicts_with = "by_caller")]
    into: Vec<String>,
    /// One new key for each caller of the last 7 days
    #[arg(long)]
    by_caller: bool,
    #[command(flatten)]
    each: GivenLimits,
}

impl Split {
    pub(crate) fn run(self, shell: &Shell) -> Result<(), Fault> {
        let store = shell.store()?;
        let parent = find(&store, &kid(&self.kid)?)?;
        let labels = if self.by_caller { by_caller(shell, &store, &parent)? } else { self.into };
        let limits = self.each.or_part_of(&parent.limits, labels.len());
        let children: Vec<NewChild> = labels.into_iter().map(|label| NewChild { label, limits: limits.clone() }).collect();
        let made = store.split_key(&parent.kid, &children, &mut dice, shell.now())?;
        if shell.flags.json {
            let keys: Vec<Value> = children
                .iter()
                .zip(&made)
                .map(|(child, (key, kid))| json!({ "label": child.label, "key": key.expose(), "kid": kid, "limits": child.limits }))
                .collect();
            return shell.print_json(&json!({ "parent": parent.kid, "keys": keys }));
        }
        let rows: Vec<_> =
            children.iter().zip(&made).map(|(child, (key, kid))| [child.label.clone(), kid.to_string(), key.expose().to_owned()]).collect();
        shell.print(&table(shell.say(["标签", "编号", "KEY"], ["LABEL", "ID", "KEY"]), &rows))?;
        explain(shell, &parent.kid);
        Ok(())
    }
}

fn explain(shell: &Shell, parent: &KeyId) {
    shell.tell(&text!(
        "这些 key 只显示这一次,请现在保存,分别发给各调用方。\n\
         key {parent} 照常可用,还没换的调用方不受影响。\n\
         新 key 的每次调用同时计入它自己的限额和 {parent} 的限额:总量和拆分前一样。\n\
         都换完以后:weir key revoke {parent};新 key 继续可用,{parent} 的限额继续管住总量",
        "these keys are shown once: keep them now, and give each caller its own.\n\
         key {parent} goes on working, so callers that still use it notice nothing.\n\
         a call with a new key counts against its own limits and against those of {parent}: the total stays what it was.\n\
         when everybody has changed: weir key revoke {parent}. the new keys go on working, and its limits still hold for all of them together"
    ));
}

/// A label for each caller that has no key of its own yet.
fn by_caller(shell: &Shell, store: &Store, parent: &KeyRow) -> Result<Vec<String>, Fault> {
    let since = weir_core::Timestamp(shell.now().0.saturating_sub(CALLERS_SINCE_MS));
    let mut callers: Vec<String> = store.usage_of(&parent.kid, since)?.into_iter().map(|of| of.caller).collect();
    // Those beyond the bound are many, and go on with the parent.
    callers.retain(|caller| caller != CallerUsage::OTHER);
    let kid = &parent.kid;
    if callers.len() < 2 {
        let why = match callers.first() {
            Some(caller) => text!("key {kid} 近 7 天只见到一个调用方({caller})", "key {kid} had one caller in the last 7 days ({caller})"),
            None => text!("key {kid} 近 7 天没有调用方", "key {kid} had no callers in the last 7 days"),
        };
        return Err(Fault::usage(
            why,
            text!(
                "用 --into 名称,名称 自己指定;调用方带上请求头 x-weir-caller 就能分开统计",
                "name them with --into NAME,NAME; callers that send the header x-weir-caller are told apart"
            ),
        ));
    }
    let children = store.children(kid)?;
    let known = children.iter().filter(|child| child.state != KeyState::Revoked).filter_map(|child| child.label.clone());
    let labels = labels(&callers, &known.collect());
    if labels.is_empty() {
        return Err(Fault::usage(
            text!("key {kid} 的每个调用方都已有自己的 key", "every caller of key {kid} has a key of its own"),
            text!("`weir key show {kid}` 列出它们", "`weir key show {kid}` lists them"),
        ));
    }
    Ok(labels)
}

/// Callers' names as labels: what a label cannot hold becomes `-`. Those in `known` have a key already.
fn labels(callers: &[String], known: &BTreeSet<String>) -> Vec<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut taken = known.clone();
    let mut labels = Vec::new();
    for caller in callers {
        let plain: String = if caller == CallerUsage::UNNAMED {
            "unnamed".to_owned()
        } else {
            caller.chars().map(|c| if fits(c) { c } else { '-' }).collect()
        };
        if known.contains(&plain) {
            continue;
        }
        // Two names that differ only in what a label cannot hold.
        let tries = (2..=callers.len().saturating_add(1)).map(|n| format!("{}.{n}", &plain[..plain.len().min(NewChild::MAX_LABEL - 4)]));
        labels.extend(std::iter::once(plain.clone()).chain(tries).find(|label| taken.insert(label.clone())));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r37_every_caller_gets_a_label_of_its_own() {
        let callers = ["OpenAI/Python", "OpenAI Python", "-", "队列", "web"].map(str::to_owned);
        let known = BTreeSet::from(["web".to_owned()]);
        assert_eq!(labels(&callers, &known), ["OpenAI-Python", "OpenAI-Python.2", "unnamed", "--"]);
    }
}
