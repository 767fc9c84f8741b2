//! `weir audit`: the laws of the ledger, checked on a live store.

use clap::Args;

use crate::{
    fault::{Exit, Fault},
    shell::Shell,
};

#[derive(Debug, Args)]
pub(crate) struct Audit {}

impl Audit {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let report = shell.store()?.audit()?;
        if shell.flags.json {
            shell.print_json(&report)?;
        } else {
            let mut text = String::new();
            for law in &report.laws {
                let mark = if law.ok { shell.say("符合", "holds") } else { shell.say("违反", "BROKEN") };
                text.push_str(&format!("{mark}  {}\n", law.name));
                for id in &law.violations {
                    text.push_str(&format!("      {id}\n"));
                }
                let more = law.count.saturating_sub(u64::try_from(law.violations.len()).unwrap_or(u64::MAX));
                if more > 0 {
                    text.push_str(&shell.say(format!("      另有 {more} 条\n"), format!("      and {more} more\n")));
                }
            }
            let (calls, accounts, running) = (report.calls, report.accounts, report.in_flight);
            text.push_str(&shell.say(
                format!("调用 {calls} 次,账号 {accounts} 个,进行中 {running} 次\n"),
                format!("{calls} calls, {accounts} accounts, {running} in progress\n"),
            ));
            shell.print(&text)?;
        }
        Ok(if report.ok { Exit::Done } else { Exit::NotWell })
    }
}
