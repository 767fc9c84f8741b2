//! What was typed, as an order for the doctor.

use weir_client::{Target, probe::Speak};
use weir_doctor::{
    judge::seen::Symptom,
    probe::{Api, BUDGET, Order, Proxies, parse_proxy},
};

use super::{ApiName, Doctor, HttpName, SymptomName, key};
use crate::{fault::Fault, lang::text, shell::Shell};

impl Doctor {
    pub(super) fn order(&self, shell: &Shell, base_url: String) -> Result<Order, Fault> {
        let found = key::find(self, shell, &base_url)?;
        self.look_at_names()?;
        Ok(Order {
            key_from: found.from,
            model: self.model.clone(),
            api: match self.api {
                ApiName::Chat => Api::Chat,
                ApiName::Responses => Api::Responses,
                ApiName::Messages => Api::Messages,
            },
            speak: match self.http {
                Some(HttpName::One) => Speak::Http1,
                Some(HttpName::Two) => Speak::Http2,
                None => Speak::Negotiated,
            },
            proxies: Proxies::of(&shell.variables),
            direct: self.direct.clone(),
            via: self.via.clone(),
            only: self.only.clone(),
            is_cheap: self.cheap,
            no_models: self.no_models,
            timeout: self.timeout,
            // A control that takes all of --timeout, and a stream that does.
            budget: self.budget.unwrap_or_else(|| BUDGET.max(self.timeout.unwrap_or_default() * 2 + BUDGET / 3)),
            max_tokens: self.max_tokens,
            request_id: self.request_id.clone(),
            task_id: self.task_id.clone(),
            burst: self.probe_429,
            hold_s: self.hold,
            symptom: self.symptom.map(|symptom| match symptom {
                SymptomName::Spinner => Symptom::Spinner,
                SymptomName::Cut => Symptom::Cut,
                SymptomName::RateLimit => Symptom::RateLimit,
                SymptomName::Timeout => Symptom::Timeout,
                SymptomName::ChargedTwice => Symptom::ChargedTwice,
            }),
            ..Order::new(base_url, found.key)
        })
    }

    /// Addresses and ids that are wrong in themselves are told before anything runs.
    fn look_at_names(&self) -> Result<(), Fault> {
        if let Some(address) = &self.via {
            parse_proxy(address).map_err(|why| {
                Fault::usage(
                    text!("--via 的代理地址不能用", "--via: failed to {why}"),
                    text!("写成 http://主机:端口 或 socks5://主机:端口", "write http://host:port or socks5://host:port"),
                )
            })?;
        }
        if let Some(url) = &self.direct {
            Target::parse(url).map_err(|why| {
                Fault::usage(
                    text!("--direct 的地址不能用", "--direct: failed to {why}"),
                    text!("写成 http://主机:端口/v1", "write http://host:port/v1"),
                )
            })?;
        }
        for id in [&self.request_id, &self.task_id].into_iter().flatten() {
            let is_tame =
                !id.is_empty() && id.len() <= 96 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
            if !is_tame {
                return Err(Fault::usage(
                    text!("这不是请求或任务的 ID", "this is no id of a request or a task"),
                    text!("从响应头 x-request-id 或任务的回答里复制", "copy it from the x-request-id header or from the task's answer"),
                ));
            }
        }
        Ok(())
    }
}
