//! One key becomes several, and limits change while the gateway runs.

use weir_core::{ApiKey, KeyId, Limits, Timestamp};

use super::{Desk, NOW, dice};
use crate::{KeyRefusal, NewChild, NewKey, Parent, SplitRefusal, Store, StoreError};

fn child(label: &str) -> NewChild {
    NewChild { label: label.to_owned(), limits: Limits { rpm: Some(3), ..Limits::default() } }
}

fn split(store: &Store, kid: &KeyId, labels: &[&str], seed: u8) -> Result<Vec<(ApiKey, KeyId)>, StoreError> {
    let children: Vec<NewChild> = labels.iter().map(|label| child(label)).collect();
    let mut next = seed;
    let mut dice = || {
        next += 1;
        dice(next)
    };
    store.split_key(kid, &children, &mut dice, NOW)
}

fn shared(store: &Store, desk: &Desk) -> (ApiKey, KeyId) {
    let new = NewKey {
        account: desk.account.clone(),
        group: Some("vip".to_owned()),
        models: vec!["gpt-*".to_owned()],
        sources: vec!["10.0.0.0/8".to_owned()],
        expires_at: Some(Timestamp(NOW.0 + 9_000)),
        limits: Limits { rpm: Some(10), zone: Some("Asia/Shanghai".to_owned()), ..Limits::default() },
    };
    store.create_key(&new, &dice(50), NOW).unwrap()
}

#[test]
fn r37_a_split_key_goes_on_working_beside_its_children() {
    let desk = Desk::new();
    let store = desk.store();
    let (key, kid) = shared(&store, &desk);
    let before = store.key(&kid).unwrap();
    let made = split(&store, &kid, &["web", "batch"], 60).unwrap();
    assert_eq!(store.key(&kid).unwrap(), before);
    let (books, _) = desk.open(true);
    let from = Some("10.1.2.3".parse().unwrap());
    assert_eq!(books.principal(&key, from, NOW).unwrap().parent, None);
    for ((key, child), label) in made.iter().zip(["web", "batch"]) {
        let by = books.principal(key, from, NOW).unwrap();
        let parent = Parent { kid: kid.clone(), limits: before.as_ref().unwrap().limits.clone() };
        assert_eq!((&by.kid, by.label.as_deref(), by.parent.as_ref()), (child, Some(label), Some(&parent)));
        assert_eq!((by.account.as_str(), by.group.as_deref(), by.limits.rpm), (desk.account.as_str(), Some("vip"), Some(3)));
        assert_eq!([by.allows("gpt-4o"), by.allows("o1")], [true, false]);
        assert_eq!(books.principal(key, None, NOW).unwrap_err(), KeyRefusal::SourceNotAllowed);
        assert_eq!(books.principal(key, from, Timestamp(NOW.0 + 9_000)).unwrap_err(), KeyRefusal::Expired);
    }
    let children = store.children(&kid).unwrap();
    assert_eq!(children.iter().map(|key| key.label.as_deref()).collect::<Vec<_>>(), [Some("batch"), Some("web")]);
}

#[test]
fn r37_children_outlive_their_parent_and_stay_within_its_limits() {
    let desk = Desk::new();
    let store = desk.store();
    let (key, kid) = shared(&store, &desk);
    let (child, _) = split(&store, &kid, &["web"], 60).unwrap().remove(0);
    store.revoke(&kid, NOW).unwrap();
    let (books, _) = desk.open(true);
    let from = Some("10.1.2.3".parse().unwrap());
    assert_eq!(books.principal(&key, from, NOW).unwrap_err(), KeyRefusal::Revoked);
    assert_eq!(books.principal(&child, from, NOW).unwrap().parent.as_ref().unwrap().limits.rpm, Some(10));
}

#[test]
fn r37_what_cannot_be_split_says_why_and_nothing_is_made() {
    let desk = Desk::new();
    let store = desk.store();
    let (_, kid) = shared(&store, &desk);
    let (_, first) = split(&store, &kid, &["web"], 60).unwrap().remove(0);
    let keys = store.keys().unwrap().len();
    let why = |kid: &KeyId| match split(&store, kid, &["x"], 70).unwrap_err() {
        StoreError::NotToSplit { why, .. } => why,
        other => panic!("{other}"),
    };
    assert_eq!(why(&first), SplitRefusal::IsChild);
    store.disable(&kid).unwrap();
    assert_eq!(why(&kid), SplitRefusal::Disabled);
    store.enable(&kid).unwrap();
    for labels in [&["web"][..], &["a", "a"], &["a b"], &[""], &[]] {
        assert!(matches!(split(&store, &kid, labels, 80), Err(StoreError::NotAValue { .. })), "{labels:?}");
    }
    let many: Vec<String> = (0..256).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(split(&store, &kid, &many, 0), Err(StoreError::NotAValue { .. })));
    // Two children with one set of dice would be one key: neither is made.
    assert!(matches!(store.split_key(&kid, &[child("a"), child("b")], &mut || dice(99), NOW), Err(StoreError::KeyExists)));
    assert!(matches!(split(&store, &KeyId::new("nobody").unwrap(), &["a"], 80), Err(StoreError::NoSuchKey(_))));
    store.revoke(&kid, NOW).unwrap();
    assert_eq!(why(&kid), SplitRefusal::Revoked);
    assert_eq!(store.keys().unwrap().len(), keys);
}

#[test]
fn limits_change_with_the_next_reload() {
    let desk = Desk::new();
    let store = desk.store();
    let (child, _) = split(&store, &desk.kid, &["web"], 60).unwrap().remove(0);
    let (books, _) = desk.open(true);
    let limits = |rpm| Limits { rpm: Some(rpm), ..Limits::default() };
    store.set_key_limits(&desk.kid, &limits(4)).unwrap();
    store.set_account_limits("payer", &limits(5)).unwrap();
    books.reload().unwrap();
    let by = desk.principal(&books);
    assert_eq!((&by.limits, &by.account_limits), (&limits(4), &limits(5)));
    let by = books.principal(&child, None, NOW).unwrap();
    assert_eq!((&by.parent.as_ref().unwrap().limits, &by.account_limits), (&limits(4), &limits(5)));
    assert_eq!(store.account(&desk.account).unwrap().unwrap().limits, limits(5));
    assert!(matches!(store.set_key_limits(&KeyId::new("nobody").unwrap(), &limits(1)), Err(StoreError::NoSuchKey(_))));
    assert!(matches!(store.set_account_limits("nobody", &limits(1)), Err(StoreError::NoSuchAccount(_))));
}

#[test]
fn a_limit_of_nothing_or_a_zone_that_is_none_is_refused() {
    let desk = Desk::new();
    let store = desk.store();
    for (bad, says) in [
        (Limits { daily_requests: Some(0), ..Limits::default() }, "disable or revoke it"),
        (Limits { daily_amount: Some(u64::MAX), ..Limits::default() }, "9.2 billion"),
        (Limits { zone: Some("Mars/Base".to_owned()), ..Limits::default() }, "Asia/Shanghai"),
    ] {
        let new = NewKey { account: desk.account.clone(), limits: bad.clone(), ..NewKey::default() };
        let bad_child = NewChild { label: "a".to_owned(), limits: bad.clone() };
        for refused in [
            store.create_key(&new, &dice(6), NOW).map(|_| ()),
            store.set_key_limits(&desk.kid, &bad),
            store.set_account_limits("payer", &bad),
            store.split_key(&desk.kid, &[bad_child], &mut || dice(7), NOW).map(|_| ()),
        ] {
            assert!(refused.unwrap_err().to_string().contains(says));
        }
    }
}
