//! P4 to P6: the same short question in one piece, as a stream, and as a browser asks. The run's time is shared out so that all of it
//! takes under half a minute, whatever the other side does.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use weir_client::probe::Way;

use super::{
    ProbeId,
    exchange::{Answer, Ask, Tools, Waits},
    order::Api,
    run::{Examined, LIMIT_NAME, PROMPT},
};
use crate::{
    judge::{answer::of_answer, stream},
    trace::{Body, Trace},
};

/// After so long without an answer to the control the stream is asked beside it: both need their time, and the run has half a minute.
const PATIENCE: Duration = Duration::from_secs(6);
/// A wait that the run's time cut to less than this proves nothing about the other side.
const TELLING: Duration = Duration::from_secs(10);
/// What the comparison with compression takes beside the stream that it repeats.
const GZIP_MARGIN: Duration = Duration::from_secs(2);

impl Examined {
    /// P4 to P8 and P13.
    pub(super) async fn model_calls(&mut self, tools: &Tools<'_>, way: &Way, model: &str) {
        if self.plans(ProbeId::P4) {
            self.control(tools, way, model).await;
        }
        let refused = self.seen.control.as_ref().is_some_and(|trace| of_answer(trace, self.seen.vendor).is_some());
        let timed_out = self.seen.control.as_ref().is_some_and(Trace::timed_out);
        if self.seen.out_of_budget || refused && !timed_out {
            return self.gateway(tools, way).await;
        }
        if self.plans(ProbeId::P5) && self.seen.stream.is_none() {
            self.asked_at = Some(tools.clock.now());
            let began = Self::begin(tools, ProbeId::P5);
            let waits = self.waits();
            let trace = self.call(tools, ProbeId::P5, way, model, true, false).await;
            self.keep_stream(tools, trace, waits, (began, began.elapsed()));
        }
        let plain_is_good = self.stream_is_good(self.seen.stream.as_ref());
        let mut suspect_gzip = false;
        if self.plans(ProbeId::P6) && plain_is_good && !timed_out && self.has_time_for_gzip() {
            let began = Self::begin(tools, ProbeId::P6);
            let is_cut = self.waits().first < self.seen.bounds.first_byte;
            let trace = self.call(tools, ProbeId::P6, way, model, true, true).await;
            if is_cut && is_silent(&trace) && trace.timed_out() {
                self.seen.no_time_for_gzip = true;
            } else {
                self.seen.gzip = Some(trace);
                suspect_gzip = !self.stream_is_good(self.seen.gzip.as_ref());
                self.end(tools, ProbeId::P6, began);
            }
        }
        if self.plans(ProbeId::P7) {
            self.other_way(tools, way, model, suspect_gzip).await;
        }
        self.gateway(tools, way).await;
    }

    /// P4; and P5 beside it where it takes long.
    async fn control(&mut self, tools: &Tools<'_>, way: &Way, model: &str) {
        self.asked_at = Some(tools.clock.now());
        let began = Self::begin(tools, ProbeId::P4);
        let waits = self.waits();
        let is_cut = waits.first < self.seen.bounds.first_byte;
        self.seen.bounds.first_byte = waits.first;
        let key = self.order.key.clone();
        let ask = self.asked(ProbeId::P4, way, model, None, false, waits);
        self.used_requests = self.used_requests.saturating_add(1);
        let mut answer = Box::pin(tools.ask(&ask, key.as_ref()));
        let trace = match timeout(PATIENCE, &mut answer).await {
            Ok(answer) => self.in_other_words(tools, &ask, answer.trace, key.as_ref()).await,
            Err(_) if self.plans(ProbeId::P5) => return self.beside(tools, way, model, answer, began).await,
            Err(_) => answer.await.trace,
        };
        if is_cut && waits.first < TELLING && trace.timed_out() {
            self.seen.out_of_budget = true;
            return;
        }
        self.seen.control = Some(trace);
        self.end(tools, ProbeId::P4, began);
    }

    /// P5 while P4 is still waited for.
    async fn beside(
        &mut self,
        tools: &Tools<'_>,
        way: &Way,
        model: &str,
        mut control: Pin<Box<impl Future<Output = Answer>>>,
        control_began: Instant,
    ) {
        let began = Self::begin(tools, ProbeId::P5);
        let waits = self.waits();
        let key = self.order.key.clone();
        let ask = self.asked(ProbeId::P5, way, model, Some(self.order.api.dialect()), false, waits);
        self.used_requests = self.used_requests.saturating_add(1);
        let mut stream = pin!(tools.ask(&ask, key.as_ref()));
        let (mut whole, mut streamed) = (None, None);
        let (mut control_took, mut took) = (Duration::ZERO, Duration::ZERO);
        let vendor = self.seen.vendor;
        poll_fn(|cx| {
            if whole.is_none()
                && let Poll::Ready(Answer { trace, .. }) = control.as_mut().poll(cx)
            {
                (whole, control_took) = (Some(trace), control_began.elapsed());
            }
            if streamed.is_none()
                && let Poll::Ready(Answer { trace, .. }) = stream.as_mut().poll(cx)
            {
                (streamed, took) = (Some(trace), began.elapsed());
            }
            // A control that was refused says it all.
            let is_refused = whole.as_ref().is_some_and(|trace: &Trace| of_answer(trace, vendor).is_some() && !trace.timed_out());
            if is_refused || whole.is_some() && streamed.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.seen.control = whole;
        self.end_after(tools, ProbeId::P4, control_began, control_took);
        if let Some(trace) = streamed {
            self.keep_stream(tools, trace, waits, (began, took));
        }
    }

    /// A stream that said nothing while the run's time ran out shows nothing.
    fn keep_stream(&mut self, tools: &Tools<'_>, trace: Trace, waits: Waits, (began, took): (Instant, Duration)) {
        if waits.total < TELLING && is_silent(&trace) && trace.timed_out() {
            self.seen.out_of_budget = true;
        } else {
            self.seen.stream = Some(trace);
            self.end_after(tools, ProbeId::P5, began, took);
        }
    }

    fn stream_is_good(&self, trace: Option<&Trace>) -> bool {
        trace.is_none_or(|trace| stream::judge(trace, self.seen.control.as_ref(), self.seen.vendor, &self.seen.bounds).is_good())
    }

    fn has_time_for_gzip(&mut self) -> bool {
        let took = self.seen.stream.as_ref().map_or(Duration::ZERO, |trace| trace.total);
        self.seen.no_time_for_gzip = self.left() < took + GZIP_MARGIN;
        !self.seen.no_time_for_gzip
    }

    /// One call of the model. The bodies of all differ in `stream` only.
    pub(super) async fn call(
        &mut self,
        tools: &Tools<'_>,
        probe: ProbeId,
        way: &Way,
        model: &str,
        is_stream: bool,
        is_gzip: bool,
    ) -> Trace {
        let key = self.order.key.clone();
        let ask = self.asked(probe, way, model, is_stream.then(|| self.order.api.dialect()), is_gzip, self.waits());
        self.used_requests = self.used_requests.saturating_add(1);
        let trace = tools.ask(&ask, key.as_ref()).await.trace;
        self.in_other_words(tools, &ask, trace, key.as_ref()).await
    }

    /// The one question that may be put in other words: newer models call the limit by another name, and refused before any work.
    async fn in_other_words(&mut self, tools: &Tools<'_>, asked: &Ask<'_>, trace: Trace, key: Option<&weir_core::Secret>) -> Trace {
        if self.order.api != Api::Chat || self.limit_name != LIMIT_NAME || !wants_other_limit(&trace) {
            return trace;
        }
        self.limit_name = "max_completion_tokens";
        let Some(model) = self.model.clone() else { return trace };
        let ask = self.asked(asked.probe, asked.way, &model, asked.stream, asked.accepts_compressed, self.waits());
        self.used_requests = self.used_requests.saturating_add(1);
        tools.ask(&ask, key).await.trace
    }

    /// A question to the model, as all of them are put.
    fn asked<'a>(
        &self,
        probe: ProbeId,
        way: &'a Way,
        model: &str,
        stream: Option<weir_core::Dialect>,
        accepts_compressed: bool,
        waits: Waits,
    ) -> Ask<'a> {
        let body = self.body(model, PROMPT, self.order.max_tokens, stream.is_some());
        let body = Some(Bytes::from(body.to_string()));
        Ask { stream, accepts_compressed, ..self.question(probe, way, Method::POST, self.order.api.path(), body, waits) }
    }

    /// How long an answer is waited for: as planned, and no longer than the run has left.
    fn waits(&self) -> Waits {
        let (bounds, left) = (&self.seen.bounds, self.left());
        Waits { first: bounds.first_byte.min(left), gap: bounds.gap, total: bounds.total.min(left) }
    }

    pub(super) fn body(&self, model: &str, prompt: &str, tokens: u32, is_stream: bool) -> Value {
        let limit_name = self.limit_name;
        let mut body = match self.order.api {
            Api::Chat => json!({ "model": model, "messages": [{ "role": "user", "content": prompt }], limit_name: tokens }),
            Api::Messages => json!({ "model": model, "messages": [{ "role": "user", "content": prompt }], "max_tokens": tokens }),
            Api::Responses => json!({ "model": model, "input": prompt, "max_output_tokens": tokens, "store": false }),
        };
        body["stream"] = is_stream.into();
        body
    }
}

/// Not one event came.
fn is_silent(trace: &Trace) -> bool {
    trace.stream().is_none_or(|stream| stream.events == 0)
}

/// The model wants `max_completion_tokens`.
fn wants_other_limit(trace: &Trace) -> bool {
    let Body::Whole(whole) = &trace.body else { return false };
    let told = |text: &str| text.contains("max_completion_tokens");
    trace.status == Some(400) && whole.error.as_ref().is_some_and(|error| told(error.message.expose()))
}
