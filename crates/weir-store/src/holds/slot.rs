//! One slot: 64 words that say what one call is doing. Fields first, the state last; a reader that sees a state sees what belongs to it.

use std::sync::atomic::Ordering;

use serde::{Deserialize, de::IntoDeserializer};
use weir_core::{
    Amount, CallRecord, ChargeFacts, ChargeRule, Charged, KeyId, RequestId, Route, Side, StreamFacts, Timestamp, Timing, Usage,
    UsageSource, Verdict,
};

use super::SlotMemory;
use crate::joined::Keyed;

pub(super) const SLOT_BYTES: usize = 512;
pub(super) const SLOT_WORDS: usize = SLOT_BYTES / 8;
pub(super) type Words = [u64; SLOT_WORDS];

// The first line of cache: written once or twice a call.
pub(super) const AT_STATE: usize = 0;
const AT_ID: usize = 1;
pub(super) const AT_AT: usize = 3;
const AT_HELD: usize = 4;
const AT_AMOUNT: usize = 5;
const AT_OUTCOME: usize = 6;
const AT_LENGTHS: usize = 7;
// The second: written for every event.
const AT_EVENTS: usize = 8;
const AT_BYTES: usize = 9;
const AT_DELIVERED: usize = 10;
const AT_USAGE: usize = 11;
// The rest: texts, each padded to whole words.
/// Total milliseconds in the lower half, those waited for a limit in the upper.
const AT_TIMES: usize = 16;
const AT_STREAM: usize = 17;
const VERDICT: Text = Text { at: 18, words: 2, length: 0 };
const ROUTE: Text = Text { at: 20, words: 4, length: 1 };
const KID: Text = Text { at: 24, words: 4, length: 2 };
const ACCOUNT: Text = Text { at: 28, words: 4, length: 3 };
const GROUP: Text = Text { at: 32, words: 8, length: 4 };
const MODEL: Text = Text { at: 40, words: 16, length: 5 };
/// The word of streams also says whether the call bears an idempotency key.
const IS_STREAM: u64 = 1;
const IS_KEYED: u64 = 2;
const ERROR_CODE: Text = Text { at: 56, words: 4, length: 6 };
/// The hash of the key, then of the request.
const AT_KEYED: usize = 60;

/// Where a text lies and which byte of the word of lengths is its own.
struct Text {
    at: usize,
    words: usize,
    length: u32,
}

// Positions are the numbers in the file: new ones go to the end.
const RULES: [ChargeRule; 10] = [
    ChargeRule::Refused,
    ChargeRule::Complete,
    ChargeRule::Delivered,
    ChargeRule::ClientLeft,
    ChargeRule::Finished,
    ChargeRule::Restart,
    ChargeRule::Task,
    ChargeRule::TaskDone,
    ChargeRule::TaskFailed,
    ChargeRule::TaskDeadline,
];
const CHARGED: [Charged; 5] = [Charged::Yes, Charged::No, Charged::Pending, Charged::Refunded, Charged::Unknown];
const SIDES: [Side; 5] = [Side::Client, Side::Proxy, Side::Gateway, Side::Upstream, Side::Done];
const SOURCES: [UsageSource; 3] = [UsageSource::Upstream, UsageSource::Estimated, UsageSource::None];

/// What a slot's call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotState {
    Accepted = 1,
    Reserved = 2,
    Ended = 3,
}

/// A slot that cannot be understood; only a power cut or a foreign hand makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DamagedSlot;

/// What a slot said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) state: SlotState,
    /// With verdict `ChargePending` and charge `pending` unless the call has ended.
    pub(crate) record: CallRecord,
    pub(crate) keyed: Option<Keyed>,
}

/// The writer's view of one slot. One writer at a time: the `Hold`, then the thread that frees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a>(&'a SlotMemory);

impl<'a> Slot<'a> {
    pub(super) fn new(words: &'a SlotMemory) -> Self {
        Self(words)
    }

    fn put(self, at: usize, value: u64) {
        self.0[at].store(value, Ordering::Relaxed);
    }

    /// Makes everything written so far belong to `state`.
    fn become_state(self, state: u64) {
        self.0[AT_STATE].store(state, Ordering::Release);
    }

    fn put_text(self, place: &Text, text: &str) {
        let text = &text[..text.floor_char_boundary(place.words * 8)];
        for (i, chunk) in text.as_bytes().chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.put(place.at + i, u64::from_ne_bytes(word));
        }
        let shift = place.length * 8;
        let lengths = self.0[AT_LENGTHS].load(Ordering::Relaxed) & !(0xFF << shift);
        self.put(AT_LENGTHS, lengths | (text.len() as u64) << shift);
    }

    pub(crate) fn accept(self, id: RequestId, route: Route) {
        let id_bytes = id.to_bytes();
        self.put(AT_ID, u64::from_ne_bytes(std::array::from_fn(|i| id_bytes[i])));
        self.put(AT_ID + 1, u64::from_ne_bytes(std::array::from_fn(|i| id_bytes[i + 8])));
        self.put(AT_AT, id.at().0.cast_unsigned());
        for at in AT_HELD..=AT_STREAM {
            self.put(at, 0);
        }
        self.put_text(&ROUTE, route.path());
        self.become_state(SlotState::Accepted as u64);
    }

    /// Notes how long the call waited before it was admitted.
    pub(crate) fn waited(self, ms: u32) {
        self.put(AT_TIMES, u64::from(ms) << 32);
    }

    /// Notes the key under which the call must never be charged twice.
    pub(crate) fn keyed(self, keyed: &Keyed) {
        for (at, half) in [keyed.key, keyed.request].iter().flat_map(|hash| hash.chunks_exact(8)).enumerate() {
            self.put(AT_KEYED + at, u64::from_ne_bytes(std::array::from_fn(|i| half[i])));
        }
        self.put(AT_STREAM, self.0[AT_STREAM].load(Ordering::Relaxed) | IS_KEYED);
    }

    fn put_stream(self, stream: bool) {
        let keyed = self.0[AT_STREAM].load(Ordering::Relaxed) & IS_KEYED;
        self.put(AT_STREAM, keyed | if stream { IS_STREAM } else { 0 });
    }

    pub(crate) fn reserve(self, who: &Who<'_>, stream: bool, held: Amount) {
        self.put_who(who);
        self.put_stream(stream);
        self.put(AT_HELD, held.0.cast_unsigned());
        self.become_state(SlotState::Reserved as u64);
    }

    fn put_who(self, who: &Who<'_>) {
        self.put_text(&KID, who.kid);
        self.put_text(&ACCOUNT, who.account);
        self.put_text(&GROUP, who.group);
        self.put_text(&MODEL, who.model);
    }

    pub(crate) fn progress(self, events: u64, bytes: u64, delivered: Amount, usage: Usage) {
        // The amount first: a call killed between two stores is charged for what it had, not for an event without its price.
        self.put(AT_DELIVERED, delivered.0.cast_unsigned());
        self.put_usage(&usage);
        self.put(AT_BYTES, bytes);
        self.put(AT_EVENTS, events);
    }

    fn put_usage(self, usage: &Usage) {
        for (i, units) in [usage.input, usage.cached, usage.output, usage.images, usage.seconds].into_iter().enumerate() {
            self.put(AT_USAGE + i, units);
        }
    }

    /// Writes the outcome. From here on the slot alone is enough to make the call's row and its charge.
    pub(crate) fn end(self, record: &CallRecord) {
        if self.0[AT_STATE].load(Ordering::Relaxed) != SlotState::Reserved as u64 {
            let kid = record.kid.as_ref().map_or("", KeyId::as_str);
            let [account, group] = [&record.account, &record.group].map(|text| text.as_deref().unwrap_or(""));
            self.put_who(&Who { kid, account, group, model: &record.model });
            self.put_stream(record.stream);
        }
        self.put_text(&VERDICT, record.verdict.code());
        self.put_text(&ERROR_CODE, record.error_code.as_deref().unwrap_or(""));
        if let Some(seen) = &record.observed {
            self.put(AT_EVENTS, seen.events);
            self.put(AT_BYTES, seen.bytes);
        }
        self.put_usage(&record.charge.usage);
        self.put(AT_TIMES, u64::from(record.timing.total) | u64::from(record.timing.queued.unwrap_or(0)) << 32);
        self.put(AT_AMOUNT, record.charge.amount.0.cast_unsigned());
        self.put(AT_OUTCOME, outcome(record));
        self.become_state(SlotState::Ended as u64);
    }

    pub(crate) fn free(self) {
        self.become_state(0);
    }
}

/// Whom a call acts for, as texts.
pub(crate) struct Who<'a> {
    pub(crate) kid: &'a str,
    pub(crate) account: &'a str,
    pub(crate) group: &'a str,
    pub(crate) model: &'a str,
}

fn outcome(record: &CallRecord) -> u64 {
    let [low, high] = record.status.to_le_bytes();
    let charged = place(&CHARGED, record.charge.charged);
    let rule = place(&RULES, record.charge.rule);
    let side = place(&SIDES, record.ended_by);
    let source = place(&SOURCES, record.charge.usage_source);
    u64::from_le_bytes([low, high, charged, rule, side, source, u8::from(record.observed.is_some()), 0])
}

fn place<T: PartialEq + Copy>(list: &[T], value: T) -> u8 {
    list.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn at_place<T: Copy>(list: &[T], place: u8) -> Result<T, DamagedSlot> {
    list.get(usize::from(place)).copied().ok_or(DamagedSlot)
}

/// What the words of a slot say; `None` if it is free.
pub(super) fn read_slot(words: &Words) -> Result<Option<Found>, DamagedSlot> {
    let state = match words[AT_STATE] {
        0 => return Ok(None),
        1 => SlotState::Accepted,
        2 => SlotState::Reserved,
        3 => SlotState::Ended,
        _ => return Err(DamagedSlot),
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&words[AT_ID].to_ne_bytes());
    id[8..].copy_from_slice(&words[AT_ID + 1].to_ne_bytes());
    let mut record = running(RequestId::from_bytes(id), Timestamp(words[AT_AT].cast_signed()), &read_text(words, &ROUTE)?);
    if state != SlotState::Accepted {
        read_who(words, &mut record)?;
        record.timing.queued = u32::try_from(words[AT_TIMES] >> 32).ok().filter(|ms| *ms > 0);
        let [input, cached, output, images, seconds] = std::array::from_fn(|i| words[AT_USAGE + i]);
        record.charge.usage = Usage { input, cached, output, images, seconds };
        record.charge.held = Amount(words[AT_HELD].cast_signed());
        record.charge.amount = Amount(words[AT_DELIVERED].cast_signed());
        record.observed = Some(StreamFacts { events: words[AT_EVENTS], bytes: words[AT_BYTES], ..StreamFacts::default() });
    }
    if state == SlotState::Ended {
        read_outcome(words, &mut record)?;
    }
    let keyed = (words[AT_STREAM] & IS_KEYED != 0).then(|| read_keyed(words));
    Ok(Some(Found { state, record, keyed }))
}

fn read_keyed(words: &Words) -> Keyed {
    let hash = |at: usize| {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&words[at].to_ne_bytes());
        hash[8..].copy_from_slice(&words[at + 1].to_ne_bytes());
        hash
    };
    Keyed { key: hash(AT_KEYED), request: hash(AT_KEYED + 2) }
}

/// The record of a call that has no outcome yet.
fn running(id: RequestId, at: Timestamp, path: &str) -> CallRecord {
    CallRecord {
        id,
        at,
        route: Route::of_path(path).unwrap_or(Route::Unknown),
        verdict: Verdict::ChargePending,
        status: 0,
        ended_by: Side::default(),
        charge: ChargeFacts { charged: Charged::Pending, ..ChargeFacts::default() },
        kid: None,
        account: None,
        group: None,
        model: String::new(),
        stream: false,
        client: weir_core::ClientFacts::default(),
        error_code: None,
        error_text: None,
        limit: None,
        scenario: weir_core::Scenario::default(),
        attempts: Vec::new(),
        timing: Timing::default(),
        observed: None,
        suspected_retry_of: None,
        told: None,
    }
}

fn read_who(words: &Words, record: &mut CallRecord) -> Result<(), DamagedSlot> {
    record.kid = KeyId::new(&read_text(words, &KID)?);
    record.account = some_text(words, &ACCOUNT)?;
    record.group = some_text(words, &GROUP)?;
    record.model = read_text(words, &MODEL)?;
    record.stream = words[AT_STREAM] & IS_STREAM != 0;
    Ok(())
}

fn read_outcome(words: &Words, record: &mut CallRecord) -> Result<(), DamagedSlot> {
    let [low, high, charged, rule, side, source, observed, _] = words[AT_OUTCOME].to_le_bytes();
    record.verdict = verdict_of(&read_text(words, &VERDICT)?).ok_or(DamagedSlot)?;
    record.status = u16::from_le_bytes([low, high]);
    record.ended_by = at_place(&SIDES, side)?;
    record.charge.charged = at_place(&CHARGED, charged)?;
    record.charge.rule = at_place(&RULES, rule)?;
    record.charge.usage_source = at_place(&SOURCES, source)?;
    record.charge.amount = Amount(words[AT_AMOUNT].cast_signed());
    record.error_code = some_text(words, &ERROR_CODE)?;
    record.timing.total = u32::try_from(words[AT_TIMES] & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    if observed == 0 {
        record.observed = None;
    }
    Ok(())
}

/// The verdict with this code.
fn verdict_of(code: &str) -> Option<Verdict> {
    let code: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = code.into_deserializer();
    Verdict::deserialize(code).ok()
}

fn some_text(words: &Words, place: &Text) -> Result<Option<String>, DamagedSlot> {
    let text = read_text(words, place)?;
    Ok((!text.is_empty()).then_some(text))
}

fn read_text(words: &Words, place: &Text) -> Result<String, DamagedSlot> {
    let length = usize::from(words[AT_LENGTHS].to_le_bytes()[place.length as usize]);
    let mut bytes: Vec<u8> = words[place.at..place.at + place.words].iter().flat_map(|word| word.to_ne_bytes()).collect();
    // An older weir gave error codes more room: what is left of one is its beginning.
    if length > bytes.len() && place.at != ERROR_CODE.at {
        return Err(DamagedSlot);
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| DamagedSlot)
}

/// How the next start ends a call that a crash cut: charged for what its slot says was delivered, and never guessed free.
pub(crate) fn end_by_restart(record: &mut CallRecord) {
    let seen = record.observed.as_ref().is_some_and(|seen| seen.events > 0 || seen.bytes > 0);
    let delivered = seen || record.charge.amount > Amount::ZERO;
    record.verdict = Verdict::GatewayRestarted;
    record.ended_by = Side::Gateway;
    if delivered {
        // A 200 had been sent, or nothing could have been delivered.
        record.status = 200;
        record.charge.charged = Charged::Yes;
        record.charge.rule = ChargeRule::Restart;
        record.charge.amount = record.charge.amount.max(Amount::ZERO);
        record.charge.usage_source = UsageSource::Estimated;
    } else {
        let held = record.charge.held;
        record.charge = ChargeFacts { charged: Charged::No, rule: ChargeRule::Restart, held, ..ChargeFacts::default() };
        record.observed = None;
    }
}
