//! How a command ends: its exit code, and what people are told when it failed.

use std::{io, process::ExitCode};

use weir_store::{SplitRefusal, StoreError};

use crate::{
    config::ConfigFault,
    lang::{Text, text},
};

/// The exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// The thing asked about is not well.
    NotWell = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Could not find out.
    Unknown = 3,
    /// Refused for safety.
    Refused = 4,
    Interrupted = 130,
}

impl Exit {
    pub(crate) const ALL: [(Self, &str, &str); 6] = [
        (Self::Done, "完成", "done"),
        (Self::NotWell, "所问的东西有问题", "the thing asked about is not well"),
        (Self::Usage, "用法或配置有误", "usage or configuration"),
        (Self::Unknown, "没能查明", "could not find out"),
        (Self::Refused, "为安全起见拒绝", "refused for safety"),
        (Self::Interrupted, "被中断", "interrupted"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Fault {
    Told {
        exit: Exit,
        why: Text,
        hint: Option<Text>,
    },
    /// The configuration has faults; each is a line of its own.
    Config(Vec<ConfigFault>),
    /// Whoever read stdout has enough.
    PipeClosed,
}

impl Fault {
    pub(crate) fn new(exit: Exit, why: Text) -> Self {
        Self::Told { exit, why, hint: None }
    }

    pub(crate) fn usage(why: Text, hint: Text) -> Self {
        Self::Told { exit: Exit::Usage, why, hint: Some(hint) }
    }

    pub(crate) fn with_hint(self, hint: Text) -> Self {
        match self {
            Self::Told { exit, why, .. } => Self::Told { exit, why, hint: Some(hint) },
            other => other,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } => *exit,
            Self::Config(_) => Exit::Usage,
            Self::PipeClosed => Exit::Done,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::new(Exit::Unknown, text!("输出写不出去:{error}", "cannot write the output: {error}")),
        }
    }
}

impl From<Vec<ConfigFault>> for Fault {
    fn from(faults: Vec<ConfigFault>) -> Self {
        Self::Config(faults)
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source()).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let told = |exit, why: Text| Self::new(exit, why);
        match &error {
            StoreError::NoSuchAccount(name) => told(Exit::Usage, text!("没有账号 {name}", "there is no account {name}")).with_hint(text!(
                "`weir account list` 列出账号,`weir account create` 新建",
                "`weir account list` shows the accounts, `weir account create` makes one"
            )),
            StoreError::NoSuchKey(kid) => told(Exit::Usage, text!("没有 key {kid}", "there is no key {kid}"))
                .with_hint(text!("`weir key list` 列出全部 key 的编号", "`weir key list` shows the ids of all keys")),
            StoreError::AccountExists(name) => told(Exit::Usage, text!("账号 {name} 已存在", "account {name} exists already")),
            StoreError::KeyExists => told(Exit::Usage, text!("这把 key 已在库中", "this key is in the store already")),
            StoreError::NotToSplit { kid, why } => not_to_split(kid, *why),
            StoreError::NotAValue { what, why } => told(Exit::Usage, text!("{what} 不能用:{why}", "cannot accept {what}: {why}")),
            StoreError::Locked { pid } => {
                let who = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
                told(Exit::Usage, text!("这个数据目录上已有网关在运行{who}", "another gateway runs on this data directory{who}"))
                    .with_hint(text!("先停掉它,或用 --data 换一个目录", "stop it first, or choose another directory with --data"))
            }
            _ => {
                let line = chain(&error);
                told(Exit::Unknown, text!("存储出错:{line}", "failed to {line}"))
            }
        }
    }
}

fn not_to_split(kid: &str, why: SplitRefusal) -> Fault {
    match why {
        SplitRefusal::IsChild => Fault::usage(
            text!("key {kid} 本身就是拆分出来的,不能再拆", "key {kid} was split from another key, and cannot be split again"),
            text!("拆分它的上级 key,`weir key show {kid}` 显示是哪一把", "split its parent, which `weir key show {kid}` names"),
        ),
        SplitRefusal::Disabled => Fault::usage(
            text!("key {kid} 已停用,不能拆分", "key {kid} is disabled, and cannot be split"),
            text!("先 `weir key enable {kid}`", "`weir key enable {kid}` first"),
        ),
        SplitRefusal::Revoked => Fault::usage(
            text!("key {kid} 已作废,不能拆分", "key {kid} was revoked, and cannot be split"),
            text!("`weir key create` 新建一把", "`weir key create` makes a new one"),
        ),
        SplitRefusal::Expired => Fault::usage(
            text!("key {kid} 已过期,不能拆分", "key {kid} has expired, and cannot be split"),
            text!("`weir key create` 新建一把", "`weir key create` makes a new one"),
        ),
    }
}
