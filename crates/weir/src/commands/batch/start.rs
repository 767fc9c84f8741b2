//! From what was typed to a run: the file is looked through, the key found, the journal begun or taken up again.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rand::Rng;
use tokio::sync::watch;
use weir_client::{
    Client, Dial, Net, Surroundings, Target,
    batch::{self, FilesError, Header, KEPT_IDS, Lines, Opened, Record, Repeats, RunFiles, Setup, Stop, Survey, Terms},
};
use weir_core::{Price, Secret};

use super::{KeyFrom, Pace, Run, end, progress::Progress};
use crate::{
    commands::{
        nearby::{self, server},
        serve::{RealDice, Signals, block_on},
        words::amount,
    },
    config::{Money, settings::target},
    fault::{Exit, Fault},
    lang::text,
    shell::{Shell, WallClock, tell},
};

/// Requests at once where nothing else is said: what really runs is found out.
const CONCURRENCY: u32 = 64;
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// Bad lines that are shown; all of them are in the output.
const SHOWN: u64 = 20;

/// Reads `input=0.15,output=0.60`: prices of a million tokens, of an image, of a second.
pub(super) fn price(text: &str) -> Result<Price, String> {
    let mut price = Price::default();
    let mut has_cached = false;
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or("it is NAME=AMOUNT, with commas between")?;
        let money: Money = value.trim().parse().map_err(|_| format!("`{value}` is no amount such as 0.15"))?;
        let a_token = || money.each(1_000_000).ok_or_else(|| format!("`{value}` is finer than weir can count"));
        match name.trim() {
            "input" => price.input = a_token()?,
            "output" => price.output = a_token()?,
            "cached" => (price.cached, has_cached) = (a_token()?, true),
            "image" => price.image = money.0,
            "second" => price.second = money.0,
            other => return Err(format!("`{other}` is none of input, output, cached, image, second")),
        }
    }
    if !has_cached {
        price.cached = price.input;
    }
    Ok(price)
}

fn cannot_read(path: &Path, error: &io::Error) -> Fault {
    let path = path.display();
    Fault::usage(text!("读不了 {path}:{error}", "cannot read {path}: {error}"), text!("检查路径", "look at the path"))
}

pub(super) fn run(shell: &Shell, asked: &Run) -> Result<Exit, Fault> {
    let survey = surveyed(shell, &asked.file)?;
    if asked.pace.max_cost.is_some() && asked.pace.price.is_none() {
        return Err(Fault::usage(
            text!("--max-cost 需要 --price", "--max-cost needs --price"),
            text!("例如 --price input=0.15,output=0.60(每百万 token)", "such as --price input=0.15,output=0.60, for a million tokens"),
        ));
    }
    if asked.dry_run {
        return end::planned(shell, &survey, asked.pace.price.as_ref());
    }
    let files = RunFiles::new(&asked.out);
    if asked.only_failed {
        return again(shell, &files, &asked.out, &survey, asked);
    }
    let url = server(shell, asked.base_url.as_deref(), "--base-url")?;
    let to = target(&url)?;
    let key = key(shell, &asked.key, None, &url)?;
    let header = Header {
        version: 1,
        run: format!("{:08x}", rand::rng().random::<u32>()),
        input: std::path::absolute(&asked.file).unwrap_or_else(|_| asked.file.clone()).display().to_string(),
        input_bytes: survey.bytes,
        input_hash: survey.hash.clone(),
        lines: survey.lines,
        rows: survey.rows,
        base_url: url,
        key_env: key.as_ref().and_then(|(_, name)| name.clone()),
        started: shell.now(),
        terms: terms(&asked.pace, asked.ordered, None),
    };
    let opened = files.begin(header).map_err(|error| not_begun(&asked.out, &error, &shell.called))?;
    let key = key.as_ref().map(|(key, _)| key);
    conduct(shell, &files, &asked.out, opened, client(to, key, asked.pace.caller.as_deref())?, key, survey.repeats)
}

/// `--only-failed` of `run`: the earlier run's failed rows, from the same file.
fn again(shell: &Shell, files: &RunFiles, out: &Path, survey: &Survey, asked: &Run) -> Result<Exit, Fault> {
    let known = files.read().map_err(|error| not_begun(out, &error, &shell.called))?;
    if known.header.input_hash != survey.hash {
        let file = asked.file.display();
        return Err(Fault::usage(
            text!("{file} 不是上次的文件,或已改动", "{file} is not the file of that run, or was changed"),
            text!("用原来的文件,或换一个 --out 另开一次", "take the file of that run, or begin another with another --out"),
        ));
    }
    resume(shell, out, &asked.key, &asked.pace, true)
}

fn terms(pace: &Pace, ordered: bool, before: Option<&Terms>) -> Terms {
    Terms {
        concurrency: pace.concurrency.or(before.map(|terms| terms.concurrency)).unwrap_or(CONCURRENCY),
        rpm: pace.rpm.or(before.and_then(|terms| terms.rpm)),
        tpm: pace.tpm.or(before.and_then(|terms| terms.tpm)),
        max_cost: pace.max_cost.map(|money| i64::try_from(money.0).unwrap_or(i64::MAX)).or(before.and_then(|terms| terms.max_cost)),
        price: pace.price.or(before.and_then(|terms| terms.price)),
        ordered: ordered || before.is_some_and(|terms| terms.ordered),
        max_wait_s: pace.max_wait.map(|wait| wait.as_secs()).or(before.map(|terms| terms.max_wait_s)).unwrap_or(MAX_WAIT.as_secs()),
    }
}

pub(super) fn resume(shell: &Shell, out: &Path, from: &KeyFrom, pace: &Pace, only_failed: bool) -> Result<Exit, Fault> {
    let files = RunFiles::new(out);
    let mut opened = files.resume().map_err(|error| not_begun(out, &error, &shell.called))?;
    let input = Path::new(&opened.header.input).to_owned();
    let survey = batch::survey(BufReader::new(File::open(&input).map_err(|error| cannot_read(&input, &error))?), |_, _| {})
        .map_err(|error| cannot_read(&input, &error))?;
    if survey.hash != opened.header.input_hash {
        let input = input.display();
        return Err(Fault::usage(
            text!("{input} 自开始以来改动过", "{input} was changed since the run began"),
            text!("恢复原文件,或换一个 --out 另开一次", "put the file back as it was, or begin another run with another --out"),
        ));
    }
    if only_failed {
        let failed: Vec<u64> = opened.standings.failed().collect();
        let text: String = failed.iter().map(|row| Record::Reopened { row: *row }.line()).collect();
        batch::Disk::append(&mut opened.journal, text.as_bytes())?;
        failed.iter().for_each(|row| opened.standings.note(&Record::Reopened { row: *row }));
        let count = failed.len();
        shell.tell(&text!("{count} 行重新请求", "{count} rows are asked for anew"));
    }
    opened.header.terms = terms(pace, false, Some(&opened.header.terms));
    let to = target(&opened.header.base_url)?;
    let key = key(shell, from, opened.header.key_env.as_deref(), &opened.header.base_url)?;
    let key = key.as_ref().map(|(key, _)| key);
    conduct(shell, &files, out, opened, client(to, key, pace.caller.as_deref())?, key, survey.repeats)
}

/// Looks through the file and tells what is wrong with it.
fn surveyed(shell: &Shell, path: &Path) -> Result<Survey, Fault> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let mut shown = 0;
    let survey = batch::survey(BufReader::new(file), |line, why| {
        shown += 1;
        if shown <= SHOWN {
            let code = why.code();
            tell(text!("第 {line} 行不能用:{code}({why})", "line {line} cannot be used: {code}: {why}").in_lang(shell.lang));
        }
    });
    let survey = survey.map_err(|error| cannot_read(path, &error))?;
    if shown > SHOWN {
        let more = shown - SHOWN;
        shell.tell(&text!("还有 {more} 行不能用,都写在输出里", "{more} more lines cannot be used; all of them are in the output"));
    }
    if survey.unkept > 0 {
        let unkept = survey.unkept;
        shell.tell(&text!(
            "前 {KEPT_IDS} 个不同的 custom_id 记得下;其后的 {unkept} 行只与它们比过,彼此之间没有比",
            "the first {KEPT_IDS} different custom_ids are kept; {unkept} rows behind them were compared with those, not with each other"
        ));
    }
    if survey.rows == 0 {
        let path = path.display();
        return Err(Fault::usage(
            text!("{path} 里没有行", "there are no rows in {path}"),
            text!("一行一个 JSON:custom_id、method、url、body", "one JSON object a line: custom_id, method, url, body"),
        ));
    }
    Ok(survey)
}

fn not_begun(out: &Path, error: &FilesError, weir: &str) -> Fault {
    let shown = out.display();
    match error {
        FilesError::Exists => Fault::usage(
            text!("{shown} 已有内容", "{shown} has something in it already"),
            text!(
                "用 `{weir} batch resume {shown}` 接着跑,或换一个 --out",
                "`{weir} batch resume {shown}` goes on with it; or choose another --out"
            ),
        ),
        FilesError::None => Fault::usage(
            text!("{shown} 没有可接着跑的批量", "there is no run behind {shown}"),
            text!("名字是 run 时的 --out,旁边要有 {shown}.journal", "it is the --out of the run, with {shown}.journal beside it"),
        ),
        FilesError::Runs => Fault::usage(
            text!("另一个 weir 正在跑 {shown}", "another weir runs {shown}"),
            text!("`{weir} batch status {shown}` 看进度", "`{weir} batch status {shown}` shows how it stands"),
        ),
        FilesError::Journal(error) => Fault::new(Exit::Unknown, text!("日志不能用:{error}", "failed to {error}")),
        FilesError::Io(error) => Fault::new(Exit::Unknown, text!("文件打不开:{error}", "cannot open the files of the run: {error}")),
    }
}

/// The key, and the variable that it came from. No key is fine: a local server may want none.
fn key(shell: &Shell, from: &KeyFrom, before: Option<&str>, url: &str) -> Result<Option<(Secret, Option<String>)>, Fault> {
    if from.key_stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(Some((Secret::new(line.trim()), None)));
    }
    let named = from.key_env.as_deref().or(before);
    if let Some(name) = named {
        let key = shell.variable(name).ok_or_else(|| {
            Fault::usage(
                text!("环境变量 {name} 没有设置", "the variable {name} is not set"),
                text!("先 export {name}=…", "export {name}=… first"),
            )
        })?;
        return Ok(Some((Secret::new(key), Some(name.to_owned()))));
    }
    Ok(nearby::key(shell, url).map(|found| (found.key, found.variable.map(str::to_owned))))
}

fn client(to: Target, key: Option<&Secret>, caller: Option<&str>) -> Result<Client, Fault> {
    let net = if to.tls { Net::with_tls() } else { Ok(Net::plain()) };
    let net =
        net.map_err(|error| Fault::new(Exit::Unknown, text!("系统证书不可用:{error}", "cannot use the system's certificates: {error}")))?;
    let dial: Arc<dyn Dial> = Arc::new(net);
    let surroundings = Surroundings { dial, clock: Arc::new(WallClock), dice: Arc::new(RealDice) };
    let client = Client::new(to, key, surroundings).map_err(|error| {
        Fault::usage(
            text!("key 不能发送:{error}", "failed to {error}"),
            text!("检查它有没有多余的字符", "look whether it has stray characters"),
        )
    })?;
    Ok(client.called_as(caller.unwrap_or("weir-batch")))
}

fn conduct(
    shell: &Shell,
    files: &RunFiles,
    out: &Path,
    opened: Opened,
    client: Client,
    key: Option<&Secret>,
    repeats: Repeats,
) -> Result<Exit, Fault> {
    let Opened { header, standings, journal, output, lock } = opened;
    let path = Path::new(&header.input).to_owned();
    let file = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
    let input = Lines::new(BufReader::with_capacity(1 << 16, file)).without(repeats);
    let setup = Setup {
        line: Arc::new(client),
        clock: Arc::new(WallClock),
        dice: Arc::new(RealDice),
        header: header.clone(),
        standings,
        journal: Box::new(journal),
        output: Box::new(output),
        hidden: key.cloned(),
    };
    let mut progress = Progress::new(shell);
    let last = std::cell::RefCell::new(None);
    block_on(async {
        let (tell_stop, stop) = watch::channel(Stop::No);
        let mut signals = Signals::take()?;
        let mut running = std::pin::pin!(batch::run(setup, input, stop, |seen| progress.show(seen)));
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                () = signals.next() => {
                    let now = tell_stop.borrow().to_owned();
                    let next = if now == Stop::No { Stop::Soon } else { Stop::Now };
                    if next == Stop::Soon {
                        shell.tell(&text!(
                            "\n停止中:正在进行的请求最多等 30 秒;再按一次 Ctrl-C 立刻停下",
                            "\nstopping: requests on their way get 30 s; Ctrl-C once more stops at once"
                        ));
                    }
                    let _ = tell_stop.send(next);
                }
            }
        };
        *last.borrow_mut() = Some(ended.map_err(|error| cannot_read(&path, &error))?);
        Ok(Exit::Done)
    })?;
    progress.clear();
    let Some(last) = last.into_inner() else { return Ok(Exit::Interrupted) };
    let arranges = last.halt.is_none() && (header.terms.ordered || files.read().is_ok_and(|found| found.standings.has_twins));
    if arranges {
        files.arrange(&lock).map_err(|error| not_begun(out, &error, &shell.called))?;
    }
    drop(lock);
    end::told(shell, out, &header, &last, key)
}

/// An amount, for people.
pub(super) fn units(nano: i64) -> String {
    amount(weir_core::Amount(nano))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_for_a_million_tokens_and_cached_input_costs_as_input_unless_it_is_said() {
        let read = price("input=0.15, output=0.6,image=0.04").unwrap();
        assert_eq!((read.input, read.cached, read.output, read.image), (150, 150, 600, 40_000_000));
        assert_eq!(price("input=1,cached=0.5").unwrap().cached, 500);
        for text in ["input", "input=x", "weight=1", "input=0.0000001"] {
            assert!(price(text).is_err(), "{text}");
        }
    }
}
