//! What all calls of one gateway share.

use std::sync::Arc;

use weir_client::{Dial, Dice};
use weir_core::{Clock, RequestId};
use weir_store::{Books, Principal, Replays};

use crate::{
    Settings,
    closer::Closer,
    joins::{Joins, Shelf},
    lanes::Lanes,
    limiter::Limiter,
    screen::Screen,
    tasks::{self, Results},
};

/// One gateway. Clones of the `Arc` serve connections side by side.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) lanes: Lanes,
    pub(crate) books: Books,
    pub(crate) limiter: Limiter,
    pub(crate) joins: Joins,
    pub(crate) shelf: Option<Arc<Shelf>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<dyn Dice>,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) closer: Closer,
    pub(crate) screen: Screen,
    /// A task is to be looked at sooner than was known.
    pub(crate) task_news: tokio::sync::Notify,
    pub(crate) results: Results,
    /// Whether answers carry the real clock's `Date`; simulated time must not.
    pub(crate) tells_date: bool,
    #[cfg(test)]
    pub(crate) sabotage: crate::world::Sabotage,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("lanes", &self.lanes.all().len()).field("running", &self.closer.running()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway that owns its books; it serves as soon as [`Gateway::serve`] is given a listener.
    #[must_use]
    pub fn new(settings: Settings, books: Books, clock: Arc<dyn Clock>, dice: Arc<dyn Dice>, dial: Arc<dyn Dial>) -> Self {
        let channels = settings.upstreams.iter().flat_map(|upstream| &upstream.channels);
        let secrets: Vec<_> =
            channels.filter_map(|channel| Some(weir_core::Secret::new(channel.key.as_ref()?.expose().to_owned()))).collect();
        let minute_ago = weir_core::Timestamp(clock.now().0.saturating_sub(weir_core::limit::MINUTE_MS));
        // What cannot be read is not known; the rates then begin anew. Where there is no rate there is nothing to remember.
        let before = books.recent(minute_ago, |principal| has_rate(&settings, principal)).unwrap_or_default();
        let limiter = Limiter::new(Arc::clone(&clock), before);
        let lanes = Lanes::new(&settings.upstreams, settings.budget, settings.breaker, limiter.now());
        let joins = Joins::new(settings.replay);
        let gateway = Self {
            settings,
            lanes,
            limiter,
            joins,
            shelf: None,
            books,
            clock,
            dice,
            dial,
            closer: Closer::default(),
            screen: Screen::new(secrets),
            task_news: tokio::sync::Notify::new(),
            results: Results::default(),
            tells_date: true,
            #[cfg(test)]
            sabotage: crate::world::Sabotage::None,
        };
        tasks::resume(&gateway);
        gateway
    }

    /// Answers are kept in these files, too.
    #[must_use]
    pub fn with_replays(self, replays: Option<Replays>) -> Self {
        Self { shelf: replays.map(|replays| Arc::new(Shelf::new(replays))), ..self }
    }

    /// Results that weir itself waited for are kept in these files; without them in memory.
    #[must_use]
    pub fn with_results(self, results: Option<Replays>) -> Self {
        Self { results: results.map(Results::on).unwrap_or_default(), ..self }
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
}

/// Whether anything limits the calls or the tokens of a key's minute.
fn has_rate(settings: &Settings, principal: &Principal) -> bool {
    let group = principal.group.as_ref().and_then(|group| settings.group_limits.get(group));
    let parent = principal.parent.as_ref().map(|parent| &parent.limits);
    let limits = [Some(&principal.limits), parent, Some(&principal.account_limits), group];
    limits.into_iter().flatten().any(|limits| limits.rpm.is_some() || limits.tpm.is_some())
}
