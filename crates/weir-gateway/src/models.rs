//! `GET /v1/models` and `/v1/models/{id}`: what the upstreams list, without what this key may not use.

use bytes::Bytes;
use serde_json::value::RawValue;
use weir_core::{CallRecord, Route, Side, Verdict};
use weir_store::Principal;
use weir_wire::Scope;

use crate::{
    Gateway,
    accept::Arrival,
    admit,
    attempt::{self, Outgoing},
    private::Private,
    refusal::Refusal,
    reply::Reply,
    vigil::Vigil,
    whole,
};

/// Asks the first upstream for its list. A key that may use all of it gets the upstream's own bytes.
pub(crate) async fn list(
    gateway: &Gateway,
    arrival: &Arrival,
    principal: &Principal,
    record: &mut CallRecord,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let one = arrival.head.uri.path().strip_prefix("/v1/models/");
    if let Some(model) = one
        && !admit::may_use(gateway, principal, model)
    {
        return Err(Refusal::of(Verdict::GroupModelDenied).scope(Scope::Group).param(Some("model")));
    }
    let lane = one.map_or(gateway.lanes.first(), |model| gateway.lane_for(model)).ok_or_else(|| Refusal::of(Verdict::NoUpstream))?;
    let timeouts = attempt::timeouts(gateway, Route::Models, record, "");
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), arrival.began, &timeouts, &gateway.settings.streams);
    let outgoing = Outgoing::new(
        &arrival.head,
        Route::Models,
        format!("{}{}", lane.target.path, arrival.head.uri.path().trim_start_matches("/v1")),
        lane,
        Bytes::new(),
    )?;
    let mut answer = attempt::answer(gateway, &outgoing, &timeouts, &mut vigil, reply, record).await?;
    let body = whole::collect(&mut answer, Bytes::new(), &mut vigil, gateway.settings.limits.answer_bytes).await?;
    let status = answer.head.status;
    if !status.is_success() {
        return Err(whole::refused(gateway, &lane.target.host, Private::of(b""), status.as_u16(), &answer.head.headers, &body));
    }
    let body = if one.is_some() { body } else { allowed(&body, |model| admit::may_use(gateway, principal, model))? };
    let taken = reply.answer(whole::head(status, &answer.head.headers), body).await;
    (record.verdict, record.ended_by) = if taken.is_ok() { (Verdict::Ok, Side::Done) } else { (Verdict::ClientLeft, Side::Client) };
    Ok(())
}

#[derive(serde::Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// The list without models that may not be used; the same bytes if nothing is left out.
fn allowed(body: &Bytes, may_use: impl Fn(&str) -> bool) -> Result<Bytes, Refusal> {
    let broken = |_| Refusal::of(Verdict::UpstreamError).saying("the upstream's list of models is not one").by(Side::Upstream);
    let list: List<'_> = serde_json::from_slice(body).map_err(broken)?;
    let kept: Vec<&RawValue> = list
        .data
        .iter()
        .copied()
        .filter(|entry| serde_json::from_str::<Model<'_>>(entry.get()).is_ok_and(|model| may_use(&model.id)))
        .collect();
    if kept.len() == list.data.len() {
        return Ok(body.clone());
    }
    let entries: Vec<&str> = kept.iter().map(|entry| entry.get()).collect();
    Ok(Bytes::from(format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_bytes_unless_something_is_left_out() {
        let body = Bytes::from_static(br#"{ "object":"list", "data":[{"id":"a","x":1}, {"id":"b"}] }"#);
        assert_eq!(allowed(&body, |_| true).unwrap(), body);
        assert_eq!(allowed(&body, |model| model == "a").unwrap(), r#"{"object":"list","data":[{"id":"a","x":1}]}"#);
    }
}
