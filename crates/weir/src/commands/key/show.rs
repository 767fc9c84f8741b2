//! `weir key list` and `weir key show`: what a key may do, what it used today, and who calls with it.

use serde_json::{Value, json};
use weir_core::{Timestamp, limit::Day};
use weir_store::{CallerUsage, Holder, KeyRow, Used};

use super::{find, kid, limits, state};
use crate::{
    commands::words,
    fault::Fault,
    shell::Shell,
    table::{pairs, table},
};

/// How far back callers are shown, in milliseconds: a day.
const CALLERS_SINCE_MS: i64 = 86_400_000;

pub(super) fn list(shell: &Shell) -> Result<(), Fault> {
    let keys = shell.store()?.keys()?;
    if shell.flags.json {
        return shell.print_json(&json!({ "keys": keys }));
    }
    let dash = || "–".to_owned();
    let row = |key: &KeyRow| {
        [
            key.kid.to_string(),
            state(shell, key).to_owned(),
            key.account.clone(),
            key.group.clone().unwrap_or_else(dash),
            key.label.clone().unwrap_or_else(dash),
            key.parent.as_ref().map_or_else(dash, ToString::to_string),
            words::local_time(key.created),
            key.expires.map_or_else(dash, words::local_time),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let zh = ["编号", "状态", "账号", "分组", "标签", "上级", "建立时间", "到期"];
    let en = ["ID", "STATE", "ACCOUNT", "GROUP", "LABEL", "PARENT", "MADE", "EXPIRES"];
    shell.print(&table(shell.say(zh, en), &rows))
}

/// A key and what its usage says.
struct Shown {
    key: KeyRow,
    children: Vec<KeyRow>,
    today: Day,
    /// What was used since its beginning.
    used: Used,
    callers: Vec<CallerUsage>,
}

pub(super) fn show(shell: &Shell, typed: &str) -> Result<(), Fault> {
    let kid = kid(typed)?;
    let (store, now) = (shell.store()?, shell.now());
    let key = find(&store, &kid)?;
    let today = limits::day(&key.limits, now);
    let used = store.used(&Holder::Key(&kid), today.start)?;
    let callers = store.usage_of(&kid, Timestamp(now.0.saturating_sub(CALLERS_SINCE_MS)))?;
    let shown = Shown { children: store.children(&kid)?, key, today, used, callers };
    if shell.flags.json {
        return shell.print_json(&shown.json());
    }
    shell.print(&shown.page(shell))
}

/// Of a hundred requests, how many this caller made; rounded down.
fn share(requests: u64, all: u64) -> u64 {
    u64::try_from(u128::from(requests) * 100 / u128::from(all.max(1))).unwrap_or(100)
}

impl Shown {
    fn requests(&self) -> u64 {
        self.callers.iter().fold(0, |all, of| all.saturating_add(of.requests))
    }

    /// The key's own fields, and beside them what belongs to it.
    fn json(&self) -> Value {
        let child = |key: &KeyRow| json!({ "kid": key.kid, "label": key.label, "state": key.state, "limits": key.limits });
        let all = self.requests();
        let caller = |of: &CallerUsage| {
            let mut value = json!(of);
            value["share_pct"] = share(of.requests, all).into();
            value
        };
        let mut value = json!(self.key);
        value["children"] = self.children.iter().map(child).collect();
        value["today"] = json!({ "from": self.today.start, "reset_at": self.today.end, "used": self.used });
        value["callers"] = self.callers.iter().map(caller).collect();
        value
    }

    fn page(&self, shell: &Shell) -> String {
        let key = &self.key;
        let none = || words::none(shell.lang).to_owned();
        let list = |items: &[String]| if items.is_empty() { shell.say("全部", "all").to_owned() } else { items.join(", ") };
        let mut rows = vec![
            (shell.say("编号", "id"), key.kid.to_string()),
            (shell.say("显示为", "shown as"), key.kid.mask()),
            (shell.say("状态", "state"), state(shell, key).to_owned()),
            (shell.say("账号", "account"), key.account.clone()),
            (shell.say("分组", "group"), key.group.clone().unwrap_or_else(none)),
        ];
        if let (Some(label), Some(parent)) = (&key.label, &key.parent) {
            rows.push((shell.say("标签", "label"), label.clone()));
            let told = shell.say(format!("{parent}(每次调用也计入它的限额)"), format!("{parent} (a call counts against its limits, too)"));
            rows.push((shell.say("上级", "parent"), told));
        }
        rows.extend([
            (shell.say("模型", "models"), list(&key.models)),
            (shell.say("来源地址", "sources"), list(&key.sources)),
            (shell.say("建立时间", "made"), words::local_time_with_zone(key.created)),
            (shell.say("到期", "expires"), key.expires.map_or_else(none, words::local_time_with_zone)),
        ]);
        rows.extend(limits::lines(shell, &key.limits, Some(self.used)));
        rows.push((shell.say("每日限额重置", "day ends"), words::local_time_with_zone(self.today.end)));
        let mut page = pairs(&rows);
        if !self.children.is_empty() {
            page += &self.children_table(shell);
        }
        if !self.callers.is_empty() {
            page += &self.callers_table(shell);
        }
        page
    }

    fn children_table(&self, shell: &Shell) -> String {
        let row = |key: &KeyRow| [key.label.clone().unwrap_or_default(), key.kid.to_string(), state(shell, key).to_owned()];
        let rows: Vec<_> = self.children.iter().map(row).collect();
        let title = shell.say("拆分出的 key(用量计入上面的今日已用)", "keys split from it (what they use is in what was used today)");
        format!("\n{title}\n{}", table(shell.say(["标签", "编号", "状态"], ["LABEL", "ID", "STATE"]), &rows))
    }

    fn callers_table(&self, shell: &Shell) -> String {
        let all = self.requests();
        let row = |of: &CallerUsage| {
            let share = format!("{}%", share(of.requests, all));
            let [requests, refused, early, tokens] = [of.requests, of.refused, of.early, of.tokens].map(|n| n.to_string());
            [of.caller.clone(), requests, share, refused, early, tokens]
        };
        let rows: Vec<_> = self.callers.iter().map(row).collect();
        let zh = ["调用方", "请求", "占比", "被拒", "提前重试", "TOKEN"];
        let en = ["CALLER", "REQUESTS", "SHARE", "REFUSED", "EARLY RETRIES", "TOKENS"];
        let title = shell.say("近 24 小时直接用这把 key 的调用方", "callers of the last 24 hours, with this key itself");
        format!("\n{title}\n{}", table(shell.say(zh, en), &rows))
    }
}
