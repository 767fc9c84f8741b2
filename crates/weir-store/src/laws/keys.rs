//! Keys, accounts and credits: what may be made, what is refused, and that changes by another process are seen.

use weir_core::{Amount, ApiKey, KeyId, Limits, Route, Timestamp};

use super::{CREDIT, Desk, NOW, block_on, dice, id, record};
use crate::{Books, KeyRefusal, KeyState, NewKey, Store, StoreError};

/// The writer looks for changes after each group it wrote: when the second one is written, the look after the first has passed.
fn let_the_writer_look(books: &Books, first: u64) {
    for n in first..first + 2 {
        let hold = books.accept(id(n), Route::Models).unwrap();
        let ended = record(&hold, None);
        books.seal(hold, ended);
        assert!(block_on(books.flush()));
    }
}

#[test]
fn changes_by_another_process_take_effect_without_a_restart() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let other = desk.store();
    other.credit(&desk.account, Amount(5), "second", NOW).unwrap();
    let (fresh, kid) = other.create_key(&NewKey { account: "payer".to_owned(), ..NewKey::default() }, &dice(2), NOW).unwrap();
    let_the_writer_look(&books, 1);
    assert_eq!(books.balance(&desk.account), Some(Amount(CREDIT.0 + 5)));
    assert_eq!(books.principal(&fresh, None, NOW).unwrap().kid, kid);
    other.revoke(&kid, NOW).unwrap();
    let_the_writer_look(&books, 3);
    assert_eq!(books.principal(&fresh, None, NOW).unwrap_err(), KeyRefusal::Revoked);
    books.close();
}

#[test]
fn a_key_that_may_not_be_used_says_why() {
    let desk = Desk::new();
    let store = desk.store();
    let new = NewKey {
        account: desk.account.clone(),
        sources: vec!["10.0.0.0/8".to_owned()],
        expires_at: Some(Timestamp(NOW.0 + 1_000)),
        ..NewKey::default()
    };
    let (bound, kid) = store.create_key(&new, &dice(3), NOW).unwrap();
    let (books, _) = desk.open(true);
    let inside = Some("10.1.1.1".parse().unwrap());
    let ask = |key: &ApiKey, source, now| books.principal(key, source, now).map(|principal| principal.kid.clone());
    assert_eq!(ask(&bound, inside, NOW), Ok(kid.clone()));
    assert_eq!(ask(&bound, None, NOW), Err(KeyRefusal::SourceNotAllowed));
    assert_eq!(ask(&bound, Some("192.0.2.1".parse().unwrap()), NOW), Err(KeyRefusal::SourceNotAllowed));
    assert_eq!(ask(&bound, inside, Timestamp(NOW.0 + 1_000)), Err(KeyRefusal::Expired));
    assert_eq!(ask(&ApiKey::mint(&dice(9)).0, inside, NOW), Err(KeyRefusal::Unknown));
    let states = [
        (KeyState::Disabled, KeyRefusal::Disabled, Box::new(|| store.disable(&kid)) as Box<dyn Fn() -> Result<(), StoreError>>),
        (KeyState::Revoked, KeyRefusal::Revoked, Box::new(|| store.enable(&kid).and_then(|()| store.revoke(&kid, NOW)))),
    ];
    for (state, refusal, change) in states {
        change().unwrap();
        books.reload().unwrap();
        assert_eq!(store.key(&kid).unwrap().unwrap().state, state);
        assert_eq!(ask(&bound, inside, NOW), Err(refusal));
    }
    assert!(matches!(store.revoke(&KeyId::new("nobody").unwrap(), NOW), Err(StoreError::NoSuchKey(kid)) if kid == "nobody"));
}

#[test]
fn a_key_is_kept_as_it_was_asked_for_and_its_secret_nowhere() {
    let desk = Desk::new();
    let store = desk.store();
    let limits = Limits { rpm: Some(60), daily_tokens: Some(9), zone: Some("Asia/Shanghai".to_owned()), ..Limits::default() };
    let models = vec!["gpt-*".to_owned(), "o1".to_owned()];
    let new = NewKey {
        account: desk.account.clone(),
        group: Some("vip".to_owned()),
        models: models.clone(),
        limits: limits.clone(),
        ..NewKey::default()
    };
    let foreign = ApiKey::parse("sk-foreign-0123456789abcdef0123456789abcdef").unwrap();
    let kid = store.import_key(&foreign, &new, &dice(4), NOW).unwrap();
    let row = store.key(&kid).unwrap().unwrap();
    assert_eq!(
        (row.group.as_deref(), &row.models, &row.limits, row.created, row.state),
        (Some("vip"), &models, &limits, NOW, KeyState::Active)
    );
    assert!(matches!(store.import_key(&foreign, &new, &dice(5), NOW), Err(StoreError::KeyExists)));
    let (books, _) = desk.open(true);
    let by = books.principal(&foreign, None, NOW).unwrap();
    assert_eq!(["gpt-4o", "o1", "o1-mini"].map(|model| by.allows(model)), [true, true, false]);
    assert!(!format!("{by:?} {books:?}").contains("0123456789abcdef"));
    books.close();
    for file in std::fs::read_dir(desk.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [foreign.expose(), desk.key.expose()] {
            let planted = &secret.as_bytes()[16..];
            assert!(!bytes.windows(planted.len()).any(|seen| seen == planted));
        }
    }
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_reason() {
    let desk = Desk::new();
    let store = desk.store();
    let good = NewKey { account: desk.account.clone(), ..NewKey::default() };
    for bad in [
        NewKey { group: Some("a b".to_owned()), ..good.clone() },
        NewKey { models: vec!["*gpt".to_owned()], ..good.clone() },
        NewKey { models: vec![String::new()], ..good.clone() },
        NewKey { sources: vec!["example.com".to_owned()], ..good.clone() },
        NewKey { sources: vec!["10.0.0.1".to_owned(); 257], ..good.clone() },
    ] {
        assert!(matches!(store.create_key(&bad, &dice(6), NOW), Err(StoreError::NotAValue { .. })), "{bad:?}");
    }
    let nobody = NewKey { account: "nobody".to_owned(), ..good };
    assert!(matches!(store.create_key(&nobody, &dice(6), NOW), Err(StoreError::NoSuchAccount(_))));
    assert!(matches!(store.create_account("payer", NOW), Err(StoreError::AccountExists(_))));
    assert!(matches!(store.create_account("\n", NOW), Err(StoreError::NotAValue { .. })));
    assert!(matches!(store.credit(&desk.account, Amount(i64::MAX), "", NOW), Err(StoreError::NotAValue { .. })));
    assert_eq!(store.account("payer").unwrap().unwrap().credits, CREDIT);
}

#[test]
fn one_gateway_has_a_directory() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let second = Books::open(desk.store(), &crate::BooksSettings::default(), std::sync::Arc::new(super::At(NOW)));
    assert!(matches!(second, Err(StoreError::Locked { pid: Some(pid) }) if pid == std::process::id()));
    books.close();
    desk.open(false).0.close();
}

#[test]
fn a_correction_is_a_line_of_its_own() {
    let desk = Desk::new();
    let store: Store = desk.store();
    let wrong = store.credit("payer", Amount(70), "typing error", NOW).unwrap();
    let right = store.credit("payer", Amount(-63), "meant 7", NOW).unwrap();
    assert_ne!(wrong.id, right.id);
    assert!(right.id.starts_with("led_"));
    assert_eq!(store.accounts().unwrap()[0].balance, Amount(CREDIT.0 + 7));
    assert!(store.audit().unwrap().ok);
}
