//! The law of delays, whatever a server does to one row: waits never shrink, told instants are kept to the millisecond.

use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use tokio::time::Instant;
use weir_core::Phase;

use super::*;
use crate::{
    Ask, AttemptError, Said, Sent, WireError,
    batch::{Asking, Line},
    client::{Lost, LostHow, Memory},
};

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// A 429, with a wait in milliseconds if it tells one.
    Refuses(Option<u64>),
    Fails(u16),
    /// The connection is refused.
    Absent,
    /// The request is taken and never answered.
    Silent,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        prop::option::of(1_u64..90_000).prop_map(Does::Refuses),
        prop::sample::select(vec![500_u16, 502, 503, 529, 408]).prop_map(Does::Fails),
        Just(Does::Absent),
        Just(Does::Silent),
    ]
}

struct Scripted {
    began: Instant,
    script: Mutex<VecDeque<Does>>,
    /// When each request came, and until when its refusal asked to wait.
    came: Mutex<Vec<(Duration, Option<Duration>)>>,
    memory: Memory,
}

impl Scripted {
    fn said(&self) -> Result<Said, Lost> {
        let does = self.script.lock().unwrap().pop_front();
        let told = if let Some(Does::Refuses(told)) = does { told.map(Duration::from_millis) } else { None };
        let at = self.began.elapsed();
        self.came.lock().unwrap().push((at, told.map(|told| at + told)));
        let error = |status, headers| Ok(Said::made(status, headers, Bytes::from_static(br#"{"error":{"message":"no"}}"#)));
        match does {
            Some(Does::Refuses(told)) => {
                let header = told.map(|told| (http::HeaderName::from_static("retry-after-ms"), HeaderValue::from(told)));
                error(429, header.into_iter().collect())
            }
            Some(Does::Fails(status)) => error(status, HeaderMap::new()),
            Some(Does::Absent) => Err(AttemptError::Connect(std::io::ErrorKind::ConnectionRefused).into()),
            Some(Does::Silent) => {
                Err(Lost { what: LostHow::Attempt(WireError::Silent.into()), phase: Phase::FirstByte, sent: Sent::Perhaps })
            }
            None => Ok(Said::made(200, HeaderMap::new(), Bytes::from_static(br#"{"object":"chat.completion","choices":[]}"#))),
        }
    }
}

impl Line for Scripted {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Asking<'a> {
        let is_row = ask.path != "/weir/limits";
        Box::pin(async move { if is_row { self.said() } else { Ok(Said::made(404, HeaderMap::new(), Bytes::new())) } })
    }

    fn memory(&self) -> Memory {
        self.memory
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn r28_r31_whatever_fails_in_whatever_order_waits_never_shrink_and_told_instants_are_kept_to_the_millisecond(
        script in prop::collection::vec(does(), 0..14),
        seed: u64,
        remembers: bool,
    ) {
        let memory = if remembers { Memory::Remembers } else { Memory::Forgets };
        let came = in_simulated_time(async {
            let line = Arc::new(Scripted { began: Instant::now(), script: Mutex::new(script.into()), came: Mutex::default(), memory });
            let _ = once_at(&Files::default(), &rows(1), &header(1, 4), Arc::clone(&line) as Arc<dyn Line>, seed).await;
            line.came.lock().unwrap().clone()
        });
        prop_assert!(!came.is_empty() && came.len() <= 10, "{} attempts", came.len());
        let waits: Vec<Duration> = came.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        prop_assert!(waits.is_sorted(), "{:?}", waits);
        for pair in came.windows(2) {
            if let Some(told) = pair[0].1 {
                prop_assert!(pair[1].0 >= told, "came at {:?}, was told {:?}", pair[1].0, told);
            }
        }
    }
}
