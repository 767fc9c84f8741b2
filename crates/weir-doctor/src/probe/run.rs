//! The run: probe after probe until a layer is broken, each with what it learned noted at once, so that an interrupted run keeps it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;
use weir_client::{Target, probe::Way};
use weir_core::{
    Audience, Timestamp,
    evidence::EvidenceId,
    redact::{Redactor, is_private_host},
};
use weir_wire::Vendor;

use super::{
    Cost, Order, ProbeId, Progress,
    exchange::{Answer, Ask, OPEN, Tools, Waits},
    models,
    order::Api,
    plan, proxies,
};
use crate::{
    judge::{
        answer::of_answer,
        local::{key_flaws, url_flaw},
        seen::{Burst, Models, Opening, OtherWay, Seen},
    },
    report::{self, Bilingual},
    trace::{End, Trace},
};

pub(super) const PROMPT: &str = "Count from 1 to 20, separated by spaces.";
/// How most APIs call the limit of output tokens.
pub(super) const LIMIT_NAME: &str = "max_tokens";
/// What is sent to models; no record may repeat it.
pub(crate) const PROMPTS: [&str; 2] = [PROMPT, LONG_PROMPT];
const LONG_PROMPT: &str = "Count from 1 to 2000, one number on each line, without leaving any out.";
/// A list costs nothing and is nobody's bottleneck; the calls need the time.
const MODELS: Waits = Waits { first: Duration::from_secs(6), gap: Duration::from_secs(6), total: Duration::from_secs(8) };
/// What the calls of models leave of a run's time to the questions that cost nothing and come last.
const RESERVE: Duration = Duration::from_secs(4);

/// When a probe ran. Two of them may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    pub probe: ProbeId,
    /// Since the run began.
    pub began: Duration,
    pub took: Duration,
}

/// A run as far as it came. Made before it begins, so that it outlives an interruption.
#[derive(Debug, Clone)]
pub struct Examined {
    pub order: Order,
    pub id: EvidenceId,
    pub began: Timestamp,
    pub seen: Seen,
    /// Probes that ran, in the order of their ends.
    pub ran: Vec<Ran>,
    pub planned: Vec<ProbeId>,
    pub cost: Cost,
    pub used_requests: u32,
    pub model: Option<String>,
    pub model_why: Option<Bilingual>,
    /// When the call that the verdict is about was sent.
    pub asked_at: Option<Timestamp>,
    /// Nothing that was planned is missing.
    pub is_complete: bool,
    pub target: Option<Target>,
    /// What this API calls the limit of output tokens.
    pub(super) limit_name: &'static str,
    /// When it began by the machine's clock; nothing of it has run before.
    since: Option<Instant>,
    /// When the calls of models must be over, and when everything.
    until: Option<(Instant, Instant)>,
}

impl Examined {
    /// A run that has not begun. `dice` is 64 random bits for the record's id.
    #[must_use]
    pub fn new(order: Order, began: Timestamp, dice: u64) -> Self {
        let planned = plan::plan(&order);
        let cost = plan::cost(&order, &planned);
        let mut seen = Seen { symptom: order.symptom, ..Seen::default() };
        seen.bounds.max_tokens = order.max_tokens;
        if let Some(timeout) = order.timeout {
            seen.bounds.first_byte = timeout;
            seen.bounds.total = seen.bounds.total.max(timeout);
            seen.bounds.is_own = true;
        }
        let target = Target::parse(order.base_url.trim()).ok();
        if let Some(target) = &target {
            seen.vendor = Vendor::of_host(&target.host);
            seen.is_private_host = is_private_host(&target.host);
        }
        let model = order.model.clone();
        Self {
            id: EvidenceId::from_dice(dice),
            began,
            seen,
            ran: Vec::new(),
            planned,
            cost,
            used_requests: 0,
            model,
            model_why: None,
            asked_at: None,
            is_complete: false,
            target,
            limit_name: LIMIT_NAME,
            since: None,
            until: None,
            order,
        }
    }

    /// Runs all that was planned, within the budget. Dropping the future interrupts it; what was seen stays.
    pub async fn run(&mut self, tools: &Tools<'_>) {
        tools.watch.see(Progress::Planned { probes: self.planned.clone(), cost: self.cost });
        let budget = plan::budget(&self.order);
        let now = Instant::now();
        let end = now + budget;
        self.since = Some(now);
        self.until = Some((end.checked_sub(RESERVE.min(budget / 4)).unwrap_or(end), end));
        let within = tokio::time::timeout(budget, Box::pin(self.probes(tools))).await;
        self.seen.out_of_budget |= within.is_err();
        self.is_complete = !self.seen.out_of_budget;
    }

    /// What is left for calls of models. An answer that is held has its own time.
    pub(super) fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |(calls, _)| calls.saturating_duration_since(Instant::now()))
    }

    /// What is left of all.
    pub(super) fn left_in_all(&self) -> Duration {
        self.until.map_or(Duration::MAX, |(_, all)| all.saturating_duration_since(Instant::now()))
    }

    pub(super) fn plans(&self, id: ProbeId) -> bool {
        self.planned.contains(&id)
    }

    pub(super) fn begin(tools: &Tools<'_>, id: ProbeId) -> Instant {
        tools.watch.see(Progress::Started(id));
        Instant::now()
    }

    fn note_ran(&mut self, probe: ProbeId, began: Instant, took: Duration) {
        let began = self.since.map_or(Duration::ZERO, |since| began.saturating_duration_since(since));
        self.ran.push(Ran { probe, began, took });
    }

    pub(super) fn end(&mut self, tools: &Tools<'_>, id: ProbeId, began: Instant) {
        self.end_after(tools, id, began, began.elapsed());
    }

    /// Ends a probe that was over before anybody could take notice.
    pub(super) fn end_after(&mut self, tools: &Tools<'_>, id: ProbeId, began: Instant, took: Duration) {
        self.note_ran(id, began, took);
        tools.watch.see(Progress::Finished(Box::new(report::check(self, id))));
    }

    async fn probes(&mut self, tools: &Tools<'_>) {
        if !self.local(tools) {
            return;
        }
        let Some(way) = self.way() else { return };
        if (self.plans(ProbeId::P1) || self.plans(ProbeId::P2)) && !self.open(tools, &way).await {
            return;
        }
        if self.plans(ProbeId::P9) {
            self.look_up(tools, &way).await;
        }
        if self.plans(ProbeId::P3) && !self.models(tools, &way).await {
            return;
        }
        let asks_model = [ProbeId::P4, ProbeId::P5, ProbeId::P6, ProbeId::P7, ProbeId::P11, ProbeId::P12].iter().any(|id| self.plans(*id));
        let Some(model) = self.model.clone() else {
            self.seen.no_model = asks_model;
            return;
        };
        if asks_model && models::is_media(&model) {
            return self.latest_task(tools, &way).await;
        }
        self.model_calls(tools, &way, &model).await;
        self.spending(tools, &way, &model).await;
    }

    /// P0. Whether the rest makes sense.
    fn local(&mut self, tools: &Tools<'_>) -> bool {
        let began = Self::begin(tools, ProbeId::P0);
        let local = &mut self.seen.local;
        local.has_key = self.order.key.is_some();
        local.key = self.order.key.as_ref().map(|key| key_flaws(key.expose())).unwrap_or_default();
        if let Some((flaw, better)) = url_flaw(&self.order.base_url) {
            local.url = Some(flaw);
            // People put the key where the address belongs; it must not come back as advice.
            let holds_key = Redactor::default().redact(&self.order.base_url, Audience::Support).held_a_secret();
            local.suggestion = better.filter(|_| !holds_key);
        }
        local.asks_chat = self.order.api == Api::Chat;
        local.with_version = self.target.as_ref().filter(|target| target.path.is_empty()).map(|target| {
            let scheme = if target.tls { "https" } else { "http" };
            format!("{scheme}://{}/v1", target.authority())
        });
        let in_front = self.target.as_ref().and_then(|target| self.order.proxies.in_front_of(target));
        local.proxy_is_foreign = in_front.as_ref().is_some_and(|found| found.proxy.is_err());
        local.proxy_from = in_front.map(|found| found.name);
        let is_fine = local.key.is_empty() && local.url.is_none() && self.target.is_some();
        self.end(tools, ProbeId::P0, began);
        is_fine
    }

    fn way(&self) -> Option<Way> {
        let target = self.target.clone()?;
        let proxy = self.order.proxies.in_front_of(&target).and_then(|found| found.proxy.ok());
        Some(Way { target, proxy, speak: self.order.speak })
    }

    /// P1 and P2 on one connection, which is closed unused.
    async fn open(&mut self, tools: &Tools<'_>, way: &Way) -> bool {
        let began = Self::begin(tools, ProbeId::P1);
        let opened = way.open(tools.reach, &OPEN).await;
        let first = way.proxy.as_ref().map_or(&way.target, |proxy| &proxy.target);
        let is_address = first.host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
        self.seen.opened = Some(Opening {
            phases: opened.phases,
            addresses: opened.addresses,
            tls: opened.tls,
            fault: opened.link.as_ref().err().copied(),
            took: began.elapsed(),
            is_address,
            is_plain: !way.target.tls,
        });
        let found = opened.phases.dns.is_some();
        if self.plans(ProbeId::P1) {
            self.note_ran(ProbeId::P1, began, opened.phases.dns.unwrap_or_else(|| began.elapsed()));
            tools.watch.see(Progress::Finished(Box::new(report::check(self, ProbeId::P1))));
        }
        if found && self.plans(ProbeId::P2) {
            tools.watch.see(Progress::Started(ProbeId::P2));
            let resolved = began + opened.phases.dns.unwrap_or_default();
            self.note_ran(ProbeId::P2, resolved, resolved.elapsed());
            tools.watch.see(Progress::Finished(Box::new(report::check(self, ProbeId::P2))));
        }
        opened.link.is_ok()
    }

    /// P3. Whether the control may be asked.
    async fn models(&mut self, tools: &Tools<'_>, way: &Way) -> bool {
        let began = Self::begin(tools, ProbeId::P3);
        let ask = Ask { is_list: true, ..self.question(ProbeId::P3, way, Method::GET, "/models", None, MODELS) };
        let Answer { trace, kept } = tools.ask(&ask, self.order.key.as_ref()).await;
        let names = if trace.status == Some(200) { models::names(&kept) } else { None };
        if let (None, Some(names)) = (&self.model, &names)
            && let Some((name, why)) = models::pick(names)
        {
            self.model = Some(name);
            self.model_why = Some(why);
        }
        let wanted = self.order.model.as_ref();
        let is_listed = names.as_ref().zip(self.model.as_ref()).map(|(names, model)| names.iter().any(|name| name == model));
        let nearest = match (is_listed, &names, wanted) {
            (Some(false), Some(names), Some(wanted)) => models::nearest(names, wanted),
            _ => None,
        };
        let stops = match (trace.end, trace.status) {
            // A question without a cost that breaks before its answer: the way is broken, and a call would fare no better.
            (End::Never(fault), _) => fault != weir_client::probe::Fault::Silent,
            (_, Some(401)) => trace.whole().is_some_and(|whole| whole.has_error_object),
            (_, Some(403)) => trace.whole().is_some_and(|whole| whole.has_error_object) && !lacks_scope(&trace),
            _ => false,
        };
        self.seen.models = Some(Models { count: names.as_ref().map_or(0, Vec::len), trace, is_listed, nearest });
        if self.asked_at.is_none() {
            self.asked_at = Some(self.began);
        }
        self.end(tools, ProbeId::P3, began);
        !stops
    }

    pub(super) fn question<'a>(
        &self,
        probe: ProbeId,
        way: &'a Way,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        waits: Waits,
    ) -> Ask<'a> {
        Ask { probe, way, method, path: path.to_owned(), body, stream: None, is_list: false, accepts_compressed: false, waits }
    }

    /// P7.
    pub(super) async fn other_way(&mut self, tools: &Tools<'_>, way: &Way, model: &str, is_gzip: bool) {
        let host = |target: &Target| target.authority();
        let (other, hop, is_direct) = match (&self.order.direct, &self.order.via) {
            (Some(url), _) => {
                let Ok(target) = Target::parse(url) else { return };
                (Way { target, proxy: None, speak: way.speak }, host(&way.target), true)
            }
            (None, Some(address)) => {
                let Ok(proxy) = proxies::parse(address) else { return };
                let hop = host(&proxy.target);
                (Way { proxy: Some(proxy), ..way.clone() }, hop, false)
            }
            (None, None) => return,
        };
        let began = Self::begin(tools, ProbeId::P7);
        let trace = self.call(tools, ProbeId::P7, &other, model, true, is_gzip).await;
        self.seen.other_way = Some(OtherWay { trace, is_direct, hop, is_gzip });
        self.end(tools, ProbeId::P7, began);
    }

    /// P11 and P12: only with consent, which the binary asked for.
    async fn spending(&mut self, tools: &Tools<'_>, way: &Way, model: &str) {
        if let Some(most) = self.order.burst.filter(|_| self.plans(ProbeId::P11)) {
            let began = Self::begin(tools, ProbeId::P11);
            let mut burst = Burst { sent: 0, refused: None };
            while burst.sent < most && burst.refused.is_none() {
                burst.sent += 1;
                let trace = self.call(tools, ProbeId::P11, way, model, false, false).await;
                burst.refused = of_answer(&trace, self.seen.vendor).is_some().then_some(trace);
            }
            self.seen.burst = Some(burst);
            self.end(tools, ProbeId::P11, began);
        }
        if let Some(seconds) = self.order.hold_s.filter(|_| self.plans(ProbeId::P12)) {
            let began = Self::begin(tools, ProbeId::P12);
            let hold = Duration::from_secs(u64::from(seconds));
            let body = Bytes::from(self.body(model, LONG_PROMPT, super::order::TOKENS_MAX, true).to_string());
            let waits = Waits { first: hold, gap: hold, total: hold };
            let ask = self.question(ProbeId::P12, way, Method::POST, self.order.api.path(), Some(body), waits);
            self.used_requests = self.used_requests.saturating_add(1);
            let ask = Ask { stream: Some(self.order.api.dialect()), ..ask };
            self.seen.hold = Some(tools.ask(&ask, self.order.key.as_ref()).await.trace);
            self.end(tools, ProbeId::P12, began);
        }
    }
}

/// A key that may chat and not list models.
fn lacks_scope(trace: &Trace) -> bool {
    trace.error().is_some_and(|error| error.message.expose().contains("scope"))
}
