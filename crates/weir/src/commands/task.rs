//! `weir task`: submit an image or video job once, ask for it, wait for it. Nothing here ever sends a submission again.

mod remote;

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weir_core::Amount;

use self::remote::{Remote, Said};
use super::{serve::block_on, words::amount};
use crate::{
    args::span,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
    table::{pairs, table},
};

/// The first and the longest wait between two questions of `wait`.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct TaskCommand {
    /// The gateway's base URL; else OPENAI_BASE_URL, else the running `weir up`
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Submit a video job, once; the key is in WEIR_KEY or OPENAI_API_KEY
    #[command(after_help = "Example:\n  weir task submit --model sora-2 --seconds 8 \"a violet lantern on a quay\"")]
    Submit(Submit),
    /// Show how far a task is
    #[command(after_help = "Example:\n  weir task show video_01j2w8k3q4zp7m01j2w8k3q4zp")]
    Show {
        /// A task id, `video_…` or `task_…`
        id: String,
    },
    /// Wait until a task has ended; asks for its state and never submits
    #[command(after_help = "Example:\n  weir task wait video_01j2w8k3q4zp7m01j2w8k3q4zp --timeout 10m")]
    Wait {
        /// A task id, `video_…` or `task_…`
        id: String,
        /// How long
        #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = span)]
        timeout: Duration,
    },
    /// List this key's video tasks, newest first
    #[command(after_help = "Example:\n  weir task list --limit 20")]
    List {
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
struct Submit {
    /// What is to be seen
    prompt: String,
    /// The model
    #[arg(long)]
    model: String,
    /// Seconds of video
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,
    /// Such as 1280x720
    #[arg(long, value_name = "WxH")]
    size: Option<String>,
    /// A name of your own: the same name again is the same task
    #[arg(long, value_name = "NAME")]
    idempotency_key: Option<String>,
}

impl TaskCommand {
    pub(crate) fn run(self, shell: &Shell) -> Result<Exit, Fault> {
        let remote = Remote::new(shell, self.url.as_deref())?;
        block_on(async {
            match self.what {
                What::Submit(submit) => submit.run(shell, &remote).await,
                What::Show { id } => {
                    let task = remote.task(&id).await?;
                    print(shell, &task)?;
                    Ok(exit_of(&task))
                }
                What::Wait { id, timeout } => wait(shell, &remote, &id, timeout).await,
                What::List { limit } => list(shell, &remote, limit).await,
            }
        })
    }
}

impl Submit {
    async fn run(self, shell: &Shell, remote: &Remote) -> Result<Exit, Fault> {
        let mut body = json!({ "model": self.model, "prompt": self.prompt });
        if let Some(seconds) = self.seconds {
            body["seconds"] = seconds.to_string().into();
        }
        if let Some(size) = self.size {
            body["size"] = size.into();
        }
        let said = remote.ask(Method::POST, "/videos", Some(&body), self.idempotency_key.as_deref()).await?;
        if let Some(earlier) = &said.duplicate_of {
            shell.tell(&text!("提醒:十分钟内提交过相同的任务 {earlier}", "note: the same was submitted within ten minutes, as {earlier}"));
        }
        if said.status == 200 {
            print(shell, &said.body)?;
            let (weir, id) = (&shell.called, id(&said.body));
            shell.tell(&text!("`{weir} task wait {id}` 等它结束", "`{weir} task wait {id}` waits for its end"));
            return Ok(Exit::Done);
        }
        Err(refused(shell, &said))
    }
}

/// Why a submission was not accepted, or why that is not known.
fn refused(shell: &Shell, said: &Said) -> Fault {
    let weir = &shell.called;
    match &said.task {
        Some(id) if said.verdict() == "W-TMO-009" => Fault::new(
            Exit::Unknown,
            text!("任务 {id} 已发出,没有收到回答,结果未知", "task {id} was sent and no answer came: what became of it is not known"),
        )
        .with_hint(text!(
            "不要重新提交;用 `{weir} task wait {id}` 等它的结果",
            "do not submit it again; `{weir} task wait {id}` waits for what becomes of it"
        )),
        _ => said.fault(),
    }
}

async fn wait(shell: &Shell, remote: &Remote, id: &str, timeout: Duration) -> Result<Exit, Fault> {
    let until = Instant::now() + timeout;
    let mut pause = FIRST_WAIT;
    loop {
        match remote.task(id).await {
            Ok(task) if is_open(&task) => {}
            Ok(task) => {
                print(shell, &task)?;
                return Ok(exit_of(&task));
            }
            // A gateway that restarts is back in a moment; what it would say does not change.
            Err(fault) if fault.exit() != Exit::Unknown || Instant::now() >= until => return Err(fault),
            Err(_) => {}
        }
        if Instant::now() + pause >= until {
            let weir = &shell.called;
            let why = text!("任务 {id} 还没有结束", "task {id} has not ended yet");
            return Err(Fault::new(Exit::Unknown, why).with_hint(text!(
                "它会继续;再用 `{weir} task wait {id}` 等,不要重新提交",
                "it goes on; `{weir} task wait {id}` waits again, do not submit it again"
            )));
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LAST_WAIT);
    }
}

fn state(task: &Value) -> &str {
    task["weir"]["state"].as_str().or_else(|| task["status"].as_str()).unwrap_or("unknown")
}

fn is_open(task: &Value) -> bool {
    matches!(state(task), "submitted" | "unconfirmed" | "running" | "queued" | "in_progress")
}

fn exit_of(task: &Value) -> Exit {
    if is_open(task) || matches!(state(task), "succeeded" | "completed") { Exit::Done } else { Exit::NotWell }
}

fn id(task: &Value) -> &str {
    task["id"].as_str().or_else(|| task["task_id"].as_str()).unwrap_or("–")
}

fn print(shell: &Shell, task: &Value) -> Result<(), Fault> {
    if shell.flags.json {
        return shell.print_json(task);
    }
    let told =
        |value: &Value| value.as_str().map_or_else(|| if value.is_null() { "–".to_owned() } else { value.to_string() }, str::to_owned);
    let mut rows = vec![
        (shell.say("任务 ID", "task"), id(task).to_owned()),
        (shell.say("状态", "state"), state(task).to_owned()),
        (shell.say("进度 %", "progress %"), told(&task["progress"])),
        (shell.say("模型", "model"), told(&task["model"])),
        (shell.say("扣费", "charged"), told(&task["weir"]["charged"])),
        (shell.say("结论码", "verdict"), told(&task["weir"]["verdict"])),
        (shell.say("调用", "call"), told(&task["weir"]["call"])),
    ];
    if is_open(task)
        && let Some(missing) = task["weir"]["missing"].as_u64().filter(|missing| *missing > 0)
    {
        let until = told(&task["weir"]["until"]);
        rows.push((
            shell.say("上游", "upstream"),
            shell.say(
                format!("说了 {missing} 次不认识它;会一直问到 {until}"),
                format!("said {missing} times that it does not know it; it is asked until {until}"),
            ),
        ));
    }
    rows.extend(lost(shell, task));
    if state(task) == "succeeded" && id(task).starts_with("video_") {
        rows.push((shell.say("视频", "video"), format!("GET /v1/videos/{}/content", id(task))));
    }
    if let Some(message) = task["error"]["message"].as_str().filter(|message| !message.is_empty()) {
        rows.push((shell.say("原因", "reason"), message.to_owned()));
    }
    shell.print(&pairs(&rows))
}

/// What to know of a task whose answer was lost: what is known, what is held and until when, and what not to do.
fn lost(shell: &Shell, task: &Value) -> Vec<(&'static str, String)> {
    let weir = &task["weir"];
    let nano = |name: &str| amount(Amount(weir[name].as_i64().unwrap_or(0)));
    let (held, charged) = (nano("held"), nano("amount"));
    let until = weir["until"].as_str().unwrap_or("–");
    let known = match (state(task), weir["findable"].as_bool()) {
        ("unconfirmed", Some(true)) => shell.say(
            "已发出,没有收到回答;正在上游的任务里找它".to_owned(),
            "it was sent and no answer came; it is looked for among the upstream's jobs".to_owned(),
        ),
        ("unconfirmed", _) => shell.say(
            "已发出,没有收到回答;这种上游不能按名字或列表查,任务可能正在运行".to_owned(),
            "it was sent and no answer came; this upstream cannot be asked for it, so it may run unseen".to_owned(),
        ),
        ("unknown", _) => shell.say(
            "到期仍没有人能说明结果;上游可能做了,也可能没做".to_owned(),
            "nobody could tell its end in time; the upstream may have made it or not".to_owned(),
        ),
        _ => return Vec::new(),
    };
    let money = match (is_open(task), weir["then"].as_str()) {
        (true, Some("charge")) => {
            shell.say(format!("占用 {held};{until} 仍无结果就扣费"), format!("{held} held; charged if there is no result by {until}"))
        }
        (true, _) => {
            shell.say(format!("占用 {held};{until} 仍无结果就退回"), format!("{held} held; given back if there is no result by {until}"))
        }
        (false, _) => {
            shell.say(format!("扣费 {charged},占用的 {held} 已了结"), format!("{charged} charged; the {held} that was held is settled"))
        }
    };
    let never = shell.say(
        "不要重新提交:可能生成和付费两次。只有带首次提交的 Idempotency-Key 再问才安全".to_owned(),
        "do not submit it again: it may be made and paid for twice. Only with the Idempotency-Key of the first submission is that safe"
            .to_owned(),
    );
    let next = shell.say(
        format!("请上游客服按提交时间和模型查;把调用 ID {} 留给本站客服", weir["call"].as_str().unwrap_or("–")),
        format!("ask the upstream's support by time and model; give the call id {} to yours", weir["call"].as_str().unwrap_or("–")),
    );
    let mut rows = vec![(shell.say("已知", "known"), known), (shell.say("金额", "money"), money), (shell.say("不要", "never"), never)];
    if weir["findable"] != true || !is_open(task) {
        rows.push((shell.say("下一步", "next"), next));
    }
    rows
}

async fn list(shell: &Shell, remote: &Remote, limit: u32) -> Result<Exit, Fault> {
    let said = remote.ask(Method::GET, &format!("/videos?limit={limit}"), None, None).await?;
    if said.status != 200 {
        return Err(said.fault());
    }
    if shell.flags.json {
        shell.print_json(&json!({ "tasks": said.body["data"], "more": said.body["has_more"] }))?;
        return Ok(Exit::Done);
    }
    let tasks = said.body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tasks.is_empty() {
        shell.tell(&text!("没有任务", "no tasks"));
        return Ok(Exit::Done);
    }
    let row = |task: &Value| {
        let word = |value: &Value| value.as_str().unwrap_or("–").to_owned();
        [id(task).to_owned(), state(task).to_owned(), task["progress"].to_string(), word(&task["model"]), word(&task["weir"]["charged"])]
    };
    let rows: Vec<_> = tasks.iter().map(row).collect();
    let (zh, en) = (["任务 ID", "状态", "进度 %", "模型", "扣费"], ["TASK", "STATE", "PROGRESS %", "MODEL", "CHARGED"]);
    shell.print(&table(shell.say(zh, en), &rows))?;
    Ok(Exit::Done)
}
