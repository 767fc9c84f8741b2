//! `weir batch status`: what the journal says, also while another program writes it.

use std::path::Path;

use serde_json::json;
use weir_client::batch::{FilesError, RowState, RunFiles};

use super::{progress::grouped, start::units};
use crate::{
    commands::words::{local_clock, local_time_with_zone},
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::pairs,
};

pub(super) fn show(shell: &Shell, out: &Path) -> Result<Exit, Fault> {
    let files = RunFiles::new(out);
    let shown = out.display();
    let found = files.read().map_err(|error| match error {
        FilesError::None => Fault::usage(
            text!("{shown} 旁边没有日志", "there is no journal beside {shown}"),
            text!("给出 run 时的 --out", "name the --out of the run"),
        ),
        other => Fault::new(Exit::Unknown, text!("日志不能用:{other}", "failed to {other}")),
    })?;
    let (header, standings, runs) = (&found.header, &found.standings, files.runs());
    let count = |state| standings.count(state);
    let failed = count(RowState::Failed) + count(RowState::FailedSilent) + count(RowState::Unknown);
    let (ok, bad, sent) = (count(RowState::Answered), count(RowState::Bad), count(RowState::Sent));
    let left = header.rows.saturating_sub(ok + failed + bad);
    let mark = standings.mark;
    let exit = if failed + bad > 0 { Exit::NotWell } else { Exit::Done };
    if shell.flags.json {
        shell.print_json(&json!({
            "out": out, "running": runs, "run": header.run, "started": header.started.rfc3339(), "rows": header.rows, "ok": ok, "failed": failed,
            "bad": bad, "sent": sent, "jobs": standings.tasks.len(), "left": left, "cursor": standings.cursor(), "spent": units(standings.spent),
            "unknown": count(RowState::Unknown), "sent_again_unguaranteed": standings.unguaranteed, "window": mark.window, "in_flight": mark.running,
            "calls": mark.calls, "refused": mark.refused, "as_of": mark.at.rfc3339(),
            "paused_until": mark.paused_until.filter(|until| runs && *until > shell.now()).map(|until| until.rfc3339()),
        }))?;
        return Ok(exit);
    }
    let state = match (runs, left) {
        (true, _) => shell.say("在跑", "running"),
        (false, 0) => shell.say("完成", "complete"),
        (false, _) => shell.say("停着", "stopped"),
    };
    let mut rows = vec![
        (shell.say("状态", "state"), state.to_owned()),
        (shell.say("开始", "started"), local_time_with_zone(header.started)),
        (shell.say("已答", "answered"), format!("{} / {}", grouped(ok), grouped(header.rows))),
        (shell.say("失败", "failed"), grouped(failed)),
        (shell.say("不能用的行", "bad rows"), grouped(bad)),
        (shell.say("已发未答", "sent, not answered"), grouped(sent)),
        (shell.say("未完成", "left"), grouped(left)),
        (shell.say("游标", "cursor"), grouped(standings.cursor())),
        (shell.say("请求", "calls"), format!("{} (429 {})", grouped(mark.calls), grouped(mark.refused))),
        (shell.say("并发", "at once"), format!("{} / {}", mark.running, mark.window)),
    ];
    if standings.spent > 0 {
        rows.push((shell.say("花费", "spent"), units(standings.spent)));
    }
    if let Some(until) = mark.paused_until.filter(|until| runs && *until > shell.now()) {
        rows.push((shell.say("等到", "waiting until"), local_clock(until)));
    }
    shell.print(&pairs(&rows))?;
    if !runs && left > 0 {
        let weir = &shell.called;
        shell.tell(&text!("hint: `{weir} batch resume {shown}` 接着跑", "hint: `{weir} batch resume {shown}` goes on"));
    }
    Ok(exit)
}
