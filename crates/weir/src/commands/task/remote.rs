//! A gateway asked over the network, once for each question.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde_json::Value;
use weir_client::{Answer, AttemptError, AttemptLimits, Dial, Net, Pool, Sent, Target};

use crate::{
    commands::nearby::{key, server},
    config::settings::target,
    fault::{Exit, Fault},
    lang::text,
    shell::Shell,
};

/// A gateway waits for its upstream's answer to a submission as long as its own limits say; this is longer.
const LIMITS: AttemptLimits = AttemptLimits { connect: Duration::from_secs(10), first_byte: Duration::from_secs(660) };
/// The longest answer: a page of a hundred tasks is a twentieth.
const ANSWER_BYTES: usize = 2 << 20;

/// A gateway and a key for it. Has no Debug: it holds the key.
pub(super) struct Remote {
    target: Target,
    authorization: HeaderValue,
    dial: Box<dyn Dial>,
    pool: Arc<Pool>,
}

/// What the gateway said.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: Value,
    /// `x-weir-task-id`.
    pub(super) task: Option<String>,
    /// `x-weir-duplicate-of`.
    pub(super) duplicate_of: Option<String>,
}

impl Said {
    pub(super) fn verdict(&self) -> &str {
        self.body["error"]["verdict"].as_str().unwrap_or_default()
    }

    /// An error as people are told it.
    pub(super) fn fault(&self) -> Fault {
        let (status, verdict) = (self.status, self.verdict());
        let message = self.body["error"]["message"].as_str().unwrap_or_default();
        let exit = if status >= 500 { Exit::Unknown } else { Exit::NotWell };
        let fault = Fault::new(exit, text!("网关回答 {status}:{message}", "the gateway answered {status}: {message}"));
        if verdict.is_empty() {
            fault
        } else {
            fault.with_hint(text!("`weir explain {verdict}` 说明怎么办", "`weir explain {verdict}` says what to do"))
        }
    }
}

impl Remote {
    pub(super) fn new(shell: &Shell, url: Option<&str>) -> Result<Self, Fault> {
        let url = server(shell, url, "--url")?;
        let found = key(shell, &url).ok_or_else(|| {
            Fault::usage(
                text!("没有 key", "there is no key"),
                text!("把它放进环境变量 WEIR_KEY 或 OPENAI_API_KEY", "put it into the environment as WEIR_KEY or OPENAI_API_KEY"),
            )
        })?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", found.key.expose().trim())).map_err(|_| {
            Fault::usage(text!("key 里有不能发送的字符", "the key holds characters that cannot be sent"), {
                let from = found.from();
                text!("检查 {from}", "look at {from}")
            })
        })?;
        authorization.set_sensitive(true);
        let target = target(&url)?;
        let net = if target.tls { Net::with_tls() } else { Ok(Net::plain()) };
        let net = net
            .map_err(|error| Fault::new(Exit::Unknown, text!("系统证书不可用:{error}", "cannot use the system's certificates: {error}")))?;
        Ok(Self { target, authorization, dial: Box::new(net), pool: Arc::default() })
    }

    /// One task.
    pub(super) async fn task(&self, id: &str) -> Result<Value, Fault> {
        let tame = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let by_call = if tame && id.starts_with("wr_") { self.task_of_call(id).await? } else { None };
        let id = by_call.as_deref().unwrap_or(id);
        let path = match id {
            _ if !tame => None,
            id if id.starts_with("video_") => Some(format!("/videos/{id}")),
            id if id.starts_with("image_") => Some(format!("/images/generations/{id}")),
            id if id.starts_with("task_") => Some(format!("/video/generations/{id}")),
            _ => None,
        };
        let path = path.ok_or_else(|| {
            Fault::usage(
                text!("这不是任务 ID", "this is not a task id"),
                text!("它以 video_、task_ 或 image_ 开头", "it begins with video_, task_ or image_"),
            )
        })?;
        let said = self.ask(Method::GET, &path, None, None).await?;
        if said.status == 200 { Ok(said.body) } else { Err(said.fault()) }
    }

    /// The task that a call submitted; `None` if it submitted none.
    async fn task_of_call(&self, call: &str) -> Result<Option<String>, Fault> {
        let said = self.ask(Method::GET, &format!("/weir/calls/{call}"), None, None).await?;
        match said.status {
            200 => Ok(said.body["task"]["id"].as_str().map(str::to_owned)),
            404 => Ok(None),
            _ => Err(said.fault()),
        }
    }

    /// Asks once.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>, idempotency_key: Option<&str>) -> Result<Said, Fault> {
        let request = self.request(method, path, body, idempotency_key)?;
        let mut answer = Answer::get(self.dial.as_ref(), &self.target, &self.pool, request, LIMITS)
            .await
            .map_err(|error| lost(&error, body.is_some()))?;
        let mut whole = BytesMut::new();
        while let Some(piece) = answer.chunk().await {
            let piece = piece.map_err(|error| lost(&AttemptError::Wire(error), body.is_some()))?;
            if whole.len() + piece.len() > ANSWER_BYTES {
                return Err(Fault::new(Exit::Unknown, text!("回答太长", "the answer is too long")));
            }
            whole.extend_from_slice(&piece);
        }
        let named = |name: &str| answer.head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Said {
            status: answer.head.status.as_u16(),
            body: serde_json::from_slice(&whole).unwrap_or_default(),
            task: named("x-weir-task-id"),
            duplicate_of: named("x-weir-duplicate-of"),
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Fault> {
        let broken =
            || Fault::usage(text!("这不能发送", "this cannot be sent"), text!("检查地址和参数", "look at the URL and the arguments"));
        let mut request = Request::new(Full::new(body.map(Value::to_string).unwrap_or_default().into()));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::try_from(format!("{}{path}", self.target.path)).map_err(|_| broken())?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&self.target.authority()).map_err(|_| broken())?);
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        if let Some(name) = idempotency_key {
            headers.insert("idempotency-key", HeaderValue::from_str(name).map_err(|_| broken())?);
        }
        Ok(request)
    }
}

/// No answer: whether it may be asked again depends on whether anything was sent.
fn lost(error: &AttemptError, submits: bool) -> Fault {
    let why = text!("没有得到网关的回答:{error}", "failed to {error}");
    let fault = Fault::new(Exit::Unknown, why);
    match error.sent() {
        Sent::No => fault.with_hint(text!(
            "没有发出任何东西;看看网关是否在运行、地址对不对",
            "nothing was sent; see whether the gateway runs and the URL is right"
        )),
        Sent::Perhaps if submits => fault.with_hint(text!(
            "可能已经提交:先用 `weir task list` 查,不要重新提交",
            "it may have been submitted: look with `weir task list` first, do not submit it again"
        )),
        Sent::Perhaps => fault.with_hint(text!("可以再问一次", "it may be asked again")),
    }
}
