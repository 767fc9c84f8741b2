//! What others kept: a gateway's record of these calls, its own timed stream, past requests and tasks.

use std::time::Duration;

use http::Method;
use weir_client::probe::Way;

use super::{
    ProbeId,
    exchange::{Ask, Tools, Waits},
    models, past,
    run::Examined,
};
use crate::{
    judge::{arrival::Arriving, past::LATEST, seen::Lookup, stream},
    trace::{End, Trace},
};

/// Questions that cost nothing.
const FREE: Waits = Waits { first: Duration::from_secs(5), gap: Duration::from_secs(5), total: Duration::from_secs(5) };
/// A record is written a moment after its call: how long to wait before each look.
const RECORD_PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// What a look at a record takes at most before the next thing must be done.
const LOOK: Duration = Duration::from_millis(500);

impl Examined {
    /// Waits for what costs nothing: no longer than the run has left.
    fn free(&self) -> Waits {
        let left = FREE.total.min(self.left_in_all().saturating_sub(LOOK));
        Waits { first: left, gap: left, total: left }
    }

    /// P8 and P13: what a weir gateway knows itself.
    pub(super) async fn gateway(&mut self, tools: &Tools<'_>, way: &Way) {
        let judged = [&self.seen.stream, &self.seen.control].into_iter().flatten().find(|trace| stream::is_weir(trace));
        let Some(id) = judged.and_then(request_id) else { return };
        let control = self.seen.control.as_ref();
        let looks_stored = [&self.seen.stream, &self.seen.gzip].into_iter().flatten().any(|trace| {
            let judged = stream::judge(trace, control, self.seen.vendor, &self.seen.bounds);
            matches!(judged.arriving, Some(Arriving::Buffered | Arriving::Unclear))
        });
        let stored_gzip = self.seen.gzip.is_some();
        if self.plans(ProbeId::P13) && looks_stored {
            let began = Self::begin(tools, ProbeId::P13);
            let ask = Ask {
                stream: Some(weir_core::Dialect::Plain),
                accepts_compressed: stored_gzip,
                ..self.question(ProbeId::P13, way, Method::GET, "/weir/echo", None, self.free())
            };
            self.seen.echo = Some(tools.ask(&ask, self.order.key.as_ref()).await.trace);
            self.end(tools, ProbeId::P13, began);
        }
        if self.plans(ProbeId::P8) {
            let began = Self::begin(tools, ProbeId::P8);
            for pause in RECORD_PAUSES {
                if self.left_in_all() < pause + LOOK {
                    break;
                }
                tokio::time::sleep(pause).await;
                let ask = self.question(ProbeId::P8, way, Method::GET, &format!("/weir/calls/{id}"), None, self.free());
                let answer = tools.ask(&ask, self.order.key.as_ref()).await;
                self.seen.record = past::record(&answer.kept);
                if self.seen.record.as_ref().is_some_and(|record| !record.is_running) {
                    break;
                }
            }
            if self.seen.control.as_ref().and_then(|trace| trace.status) == Some(429) {
                let ask = self.question(ProbeId::P8, way, Method::GET, "/weir/limits", None, self.free());
                self.seen.other_share_pct = past::other_share(&tools.ask(&ask, self.order.key.as_ref()).await.kept);
            }
            self.end(tools, ProbeId::P8, began);
        }
    }

    /// P9.
    pub(super) async fn look_up(&mut self, tools: &Tools<'_>, way: &Way) {
        let began = Self::begin(tools, ProbeId::P9);
        let key = self.order.key.clone();
        if let Some(id) = self.order.request_id.clone() {
            let is_tame = models::is_tame(&id) && !id.contains('/');
            let path = format!("/weir/calls/{id}");
            let answer = tools.ask(&self.question(ProbeId::P9, way, Method::GET, &path, None, FREE), key.as_ref()).await;
            let is_weir = stream::is_weir(&answer.trace);
            self.seen.lookup = Some(match past::record(&answer.kept).filter(|_| is_tame) {
                Some(record) => Lookup::Call(Box::new(record)),
                None if is_weir || matches!(answer.trace.end, End::Never(_)) => Lookup::NotFound { id, trace: Box::new(answer.trace) },
                None => Lookup::NoRecords { id },
            });
        } else if let Some(id) = self.order.task_id.clone() {
            let path = match () {
                () if id.starts_with("image_") => format!("/images/generations/{id}"),
                () if id.starts_with("task_") => format!("/video/generations/{id}"),
                () => format!("/videos/{id}"),
            };
            let answer = tools.ask(&self.question(ProbeId::P9, way, Method::GET, &path, None, FREE), key.as_ref()).await;
            self.seen.lookup = Some(match past::task(&answer.kept).filter(|_| answer.trace.status == Some(200)) {
                Some(task) => Lookup::Task(task),
                None => Lookup::NoTask { id, trace: Box::new(answer.trace) },
            });
        }
        self.end(tools, ProbeId::P9, began);
    }

    /// In place of P4 to P6 for pictures and videos: nothing is ever submitted.
    pub(super) async fn latest_task(&mut self, tools: &Tools<'_>, way: &Way) {
        let began = Self::begin(tools, ProbeId::P9);
        let ask = self.question(ProbeId::P9, way, Method::GET, "/videos?limit=1", None, FREE);
        let answer = tools.ask(&ask, self.order.key.as_ref()).await;
        self.seen.lookup = Some(match past::latest_task(&answer.kept) {
            Some(task) => Lookup::Task(task),
            None => Lookup::NotFound { id: LATEST.to_owned(), trace: Box::new(answer.trace) },
        });
        self.end(tools, ProbeId::P9, began);
    }
}

/// The id under which a weir gateway keeps its record.
fn request_id(trace: &Trace) -> Option<String> {
    let id = ["x-weir-call", "x-request-id"].iter().find_map(|name| trace.header(name))?;
    (id.starts_with("wr_") && models::is_tame(id)).then(|| id.to_owned())
}
