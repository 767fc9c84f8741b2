//! Limits and shared keys: who calls, what is used today, and a key of its own for each caller.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use weir_core::{
    Amount, CallRecord, ChargeFacts, ChargeRule, Charged, ClientFacts, Clock, KeyId, LimitFacts, LimitKind, LimitScope, RequestId, Route,
    Side, Timestamp, Timing, Usage, Verdict,
};
use weir_store::{Books, BooksSettings, Store};

use crate::weir::Home;

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// A home with a shared key, as `key create` with `options` made it: the key, its id, when it was made.
fn shared(options: &[&str]) -> (Home, String, KeyId, Timestamp) {
    let home = Home::with_account();
    home.run(&["account", "credit", "demo", "5"]).done();
    let arguments = [&["key", "create", "--account", "demo", "--json"], options].concat();
    let made = home.run(&arguments).done().json();
    let kid = KeyId::new(made["kid"].as_str().unwrap()).unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    let created = Store::open(&home.path().join("data")).unwrap().key(&kid).unwrap().unwrap().created;
    (home, key, kid, created)
}

/// Calls with a key, one for each caller named; those that begin with `!` are refused, and came early.
fn call(home: &Home, key: &str, at: Timestamp, callers: &[&str]) {
    let settings = BooksSettings { slots: 8, inline: true };
    let (books, _) = Books::open(Store::open(&home.path().join("data")).unwrap(), &settings, Arc::new(At(at))).unwrap();
    let by = books.principal(&weir_core::ApiKey::parse(key).unwrap(), None, at).unwrap();
    for (n, caller) in callers.iter().enumerate() {
        let hold = books.accept(RequestId::new(at, n as u128 + 1), Route::ChatCompletions).unwrap();
        let refused = caller.strip_prefix('!');
        let mut charge = ChargeFacts::default();
        if refused.is_none() {
            let _ = at_once(books.reserve(&hold, &by, "m", false, Amount(1_000))).unwrap();
            let usage = Usage { input: 10, output: 5, ..Usage::default() };
            charge = ChargeFacts { charged: Charged::Yes, rule: ChargeRule::Complete, amount: Amount(500), usage, ..charge };
        }
        let limit = LimitFacts { scope: LimitScope::Key, kind: LimitKind::RequestsPerMinute, limit: 2, reset_at: None, early: 1 };
        let record = CallRecord {
            id: hold.id(),
            at,
            route: Route::ChatCompletions,
            verdict: if refused.is_some() { Verdict::RateLimited } else { Verdict::Ok },
            status: if refused.is_some() { 429 } else { 200 },
            ended_by: Side::Done,
            charge,
            kid: Some(by.kid.clone()),
            account: Some(by.account.clone()),
            group: None,
            model: "m".to_owned(),
            stream: false,
            scenario: weir_core::Scenario::default(),
            client: ClientFacts { caller: Some(refused.unwrap_or(caller).to_owned()), ..ClientFacts::default() },
            error_code: None,
            error_text: None,
            limit: refused.is_some().then_some(limit),
            attempts: Vec::new(),
            timing: Timing::default(),
            observed: None,
            suspected_retry_of: None,
            told: None,
        };
        books.seal(hold, record);
    }
    books.close();
}

/// A zone in which it is about noon, so that no midnight comes between two commands.
fn noon_zone(now: Timestamp) -> String {
    let behind = now.0.div_euclid(3_600_000).rem_euclid(24) - 12;
    if behind < 0 { format!("Etc/GMT-{}", -behind) } else { format!("Etc/GMT+{behind}") }
}

#[test]
fn r37_a_key_tells_who_called_and_what_was_used_today() {
    let (home, key, kid, at) = shared(&["--daily-requests", "10", "--daily-amount", "1.5"]);
    home.run(&["key", "limit", kid.as_str(), "--zone", &noon_zone(at)]).done();
    call(&home, &key, at, &["web", "web", "batch", "web", "!batch"]);
    let shown = home.run(&["key", "show", kid.as_str(), "--json"]).done().json();
    assert_eq!(shown["today"]["used"], serde_json::json!({ "requests": 4, "tokens": 60, "amount": 2_000 }));
    assert_eq!(
        shown["callers"],
        serde_json::json!([
            { "caller": "web", "requests": 3, "refused": 0, "early": 0, "tokens": 45, "amount": 1_500, "share_pct": 75 },
            { "caller": "batch", "requests": 1, "refused": 1, "early": 1, "tokens": 15, "amount": 500, "share_pct": 25 },
        ])
    );
    let text = home.run(&["key", "show", kid.as_str()]).done().out;
    assert!(text.contains("4 used today / 10") && text.contains("0.000002 used today / 1.5") && text.contains("75%"), "{text}");
    let zh = home.run(&["key", "show", kid.as_str(), "--lang", "zh"]).done().out;
    assert!(zh.contains("今日已用 4 / 10") && zh.contains("提前重试"), "{zh}");
    assert_eq!(home.run(&["audit", "--json"]).done().json()["ok"], true);
}

#[test]
fn r37_a_shared_key_is_split_in_one_step_and_goes_on_working() {
    let (home, key, kid, at) = shared(&["--rpm", "10", "--daily-tokens", "900", "--zone", "Asia/Shanghai"]);
    let before = home.run(&["key", "show", kid.as_str(), "--json"]).done().json();
    let split = home.run(&["key", "split", kid.as_str(), "--into", "web,batch,ops", "--concurrency", "2", "--json"]).done().json();
    assert_eq!(split["parent"], kid.as_str());
    let keys = split["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["label"].as_str().unwrap()).collect::<Vec<_>>(), ["web", "batch", "ops"]);
    for child in keys {
        let limits = serde_json::json!({ "rpm": 3, "concurrency": 2, "daily_tokens": 300, "zone": "Asia/Shanghai" });
        assert_eq!(child["limits"], limits);
        let (child, id) = (child["key"].as_str().unwrap(), child["kid"].as_str().unwrap());
        let shown = home.run(&["key", "show", id]).done().out;
        assert!(shown.contains(&format!("{kid} (a call counts against its limits, too)")) && !shown.contains(&child[16..]), "{shown}");
        call(&home, child, at.after(std::time::Duration::from_millis(child.len() as u64)), &[]);
    }
    call(&home, &key, at, &["web"]);
    let after = home.run(&["key", "show", kid.as_str(), "--json"]).done().json();
    assert_eq!(after["children"].as_array().unwrap().len(), 3);
    assert_eq!((&after["state"], &after["limits"], &after["models"]), (&before["state"], &before["limits"], &before["models"]));
    let list = home.run(&["key", "list"]).done().out;
    assert!(list.contains("LABEL") && list.contains("batch") && list.matches(kid.as_str()).count() == 4, "{list}");
    home.run(&["key", "split", keys[0]["kid"].as_str().unwrap(), "--into", "a,b"])
        .failed(2, &["cannot be split again", "hint: split its parent"]);
    home.run(&["key", "split", kid.as_str(), "--into", "web"]).failed(2, &["another key of this family has it"]);
    home.run(&["key", "split", kid.as_str()]).failed(2, &["--into"]);
    home.run(&["key", "split", kid.as_str(), "--into", "x", "--rpm", "0"]).failed(2, &["disable or revoke it"]);
}

#[test]
fn r37_people_are_told_what_a_split_means_and_the_keys_are_on_stdout_alone() {
    let (home, _, kid, _) = shared(&[]);
    let en = home.run(&["key", "split", kid.as_str(), "--into", "web"]).done();
    assert!(en.out.contains("sk-wr-") && !en.err.contains("sk-wr-"), "{en:?}");
    assert!(
        en.err.contains("shown once") && en.err.contains("goes on working") && en.err.contains("the total stays what it was"),
        "{en:?}"
    );
    let zh = home.run(&["key", "split", kid.as_str(), "--into", "batch", "--lang", "zh"]).done();
    assert!(zh.err.contains("照常可用") && zh.err.contains("总量和拆分前一样"), "{zh:?}");
}

#[test]
fn r37_a_key_is_split_by_its_callers() {
    let (home, key, kid, at) = shared(&["--rpm", "10"]);
    let by_caller = ["key", "split", kid.as_str(), "--by-caller", "--json"];
    home.run(&by_caller).failed(2, &["had no callers in the last 7 days", "hint: name them with --into"]);
    call(&home, &key, at, &["web"]);
    home.run(&by_caller).failed(2, &["had one caller in the last 7 days (web)"]);
    call(&home, &key, at.after(std::time::Duration::from_millis(1)), &["batch", "batch"]);
    let split = home.run(&by_caller).done().json();
    let made: Vec<_> = split["keys"].as_array().unwrap().iter().map(|key| (&key["label"], &key["limits"]["rpm"])).collect();
    assert_eq!(made, [(&"batch".into(), &5.into()), (&"web".into(), &5.into())]);
    home.run(&by_caller).failed(2, &["every caller of key", "hint: "]);
}

#[test]
fn limits_are_changed_by_name_and_the_rest_stay() {
    let (home, _, kid, _) = shared(&["--rpm", "10", "--tpm", "500"]);
    let changed = home.run(&["key", "limit", kid.as_str(), "--rpm", "20", "--tpm", "none", "--zone", "Asia/Tokyo", "--json"]).done().json();
    assert_eq!(changed, serde_json::json!({ "kid": kid, "limits": { "rpm": 20, "zone": "Asia/Tokyo" } }));
    let told = home.run(&["key", "limit", kid.as_str(), "--daily-amount", "2.5"]).done();
    assert!(told.out.contains("2.5") && told.err.contains("within a second"), "{told:?}");
    assert_eq!(home.run(&["key", "show", kid.as_str(), "--json"]).done().json()["limits"]["daily_amount"], 2_500_000_000_u64);
    home.run(&["key", "limit", kid.as_str()]).failed(2, &["--rpm"]);
    home.run(&["key", "limit", kid.as_str(), "--rpm", "0"]).failed(2, &["at least 1", "disable or revoke it"]);
    home.run(&["key", "limit", kid.as_str(), "--zone", "Mars/Base"]).failed(2, &["Asia/Shanghai"]);
    home.run(&["key", "limit", "nokey123", "--rpm", "1"]).failed(2, &["there is no key nokey123"]);
}

#[test]
fn an_account_has_limits_of_its_own() {
    let home = Home::new();
    let made = home.run(&["account", "create", "team", "--rpm", "60", "--json"]).done().json();
    assert_eq!(made["limits"], serde_json::json!({ "rpm": 60 }));
    let changed = home.run(&["account", "limit", "team", "--daily-requests", "9", "--rpm", "none", "--json"]).done().json();
    assert_eq!(changed["limits"], serde_json::json!({ "daily_requests": 9 }));
    let listed = home.run(&["account", "list", "--json"]).done().json();
    assert_eq!(listed["accounts"][0]["limits"], changed["limits"]);
    assert!(home.run(&["account", "limit", "team", "--tpm", "5", "--lang", "zh"]).done().err.contains("一秒内生效"));
    home.run(&["account", "limit", "nobody", "--tpm", "5"]).failed(2, &["there is no account nobody"]);
}
