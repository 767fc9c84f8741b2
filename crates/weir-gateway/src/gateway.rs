//! What all calls of one gateway share.

use std::sync::Arc;

use http::HeaderValue;
use weir_client::{Dial, Pool, Target};
use weir_core::{ApiKey, Clock, RequestId};
use weir_store::Books;

use crate::{Channel, Settings, closer::Closer, limiter::Limiter, screen::Screen, settings::fits};

/// Where chance comes from: real dice in service, a seed in tests.
pub trait Dice: Send + Sync {
    /// 128 random bits.
    fn roll(&self) -> u128;
}

/// A channel with its upstream and its idle connections.
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) channel: Channel,
    pub(crate) pool: Arc<Pool>,
    /// What every request to it bears, made once: `Host`, and the credential in both forms. `None` if it is no header.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) credential: Option<Credential>,
}

/// A channel's key as headers.
pub(crate) struct Credential {
    pub(crate) bearer: HeaderValue,
    pub(crate) bare: HeaderValue,
}

impl Credential {
    fn new(key: &ApiKey) -> Option<Self> {
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Some(Self { bearer: secret(&format!("Bearer {}", key.expose()))?, bare: secret(key.expose())? })
    }
}

/// One gateway. Clones of the `Arc` serve connections side by side.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) books: Books,
    pub(crate) limiter: Limiter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<dyn Dice>,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) closer: Closer,
    pub(crate) screen: Screen,
    /// Whether answers carry the real clock's `Date`; simulated time must not.
    pub(crate) tells_date: bool,
    #[cfg(test)]
    pub(crate) sabotage: crate::world::Sabotage,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("lanes", &self.lanes.len()).field("running", &self.closer.running()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway that owns its books; it serves as soon as [`Gateway::serve`] is given a listener.
    #[must_use]
    pub fn new(settings: Settings, books: Books, clock: Arc<dyn Clock>, dice: Arc<dyn Dice>, dial: Arc<dyn Dial>) -> Self {
        let mut secrets = Vec::new();
        let mut lanes = Vec::new();
        for upstream in &settings.upstreams {
            for channel in &upstream.channels {
                secrets.extend(channel.key.as_ref().map(|key| weir_core::Secret::new(key.expose().to_owned())));
                lanes.push(Lane {
                    name: format!("{}/{}", upstream.name, channel.name),
                    target: upstream.target.clone(),
                    channel: channel.clone(),
                    pool: Arc::default(),
                    host: HeaderValue::from_str(&upstream.target.authority()).ok(),
                    credential: channel.key.as_deref().and_then(Credential::new),
                });
            }
        }
        let minute_ago = weir_core::Timestamp(clock.now().0.saturating_sub(weir_core::limit::MINUTE_MS));
        // What cannot be read is not known; the rates then begin anew.
        let before = books.recent(minute_ago).unwrap_or_default();
        Self {
            settings,
            lanes,
            limiter: Limiter::new(Arc::clone(&clock), before),
            books,
            clock,
            dice,
            dial,
            closer: Closer::default(),
            screen: Screen::new(secrets),
            tells_date: true,
            #[cfg(test)]
            sabotage: crate::world::Sabotage::None,
        }
    }

    /// Where the calls are kept.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Gives the books back, to be closed, once no connection and no call is left; `None` while one is.
    #[must_use]
    pub fn into_books(self: Arc<Self>) -> Option<Books> {
        Arc::into_inner(self).map(|gateway| gateway.books)
    }

    pub(crate) fn new_id(&self) -> RequestId {
        RequestId::new(self.clock.now(), self.dice.roll())
    }

    /// The channel that serves a model.
    pub(crate) fn lane_for(&self, model: &str) -> Option<&Lane> {
        self.lanes.iter().find(|lane| {
            let models = &lane.channel.models;
            models.is_empty() || models.iter().any(|pattern| fits(pattern, model))
        })
    }
}
