//! Accounts, keys, calls and the audit.

use crate::weir::Home;

#[test]
fn an_account_is_made_credited_and_listed() {
    let home = Home::new();
    home.run(&["account", "list"]).failed(2, &["no data", "hint: run `weir up` first"]);
    let made = home.run(&["account", "create", "demo", "--json"]).done().json();
    assert!(made["id"].as_str().unwrap().starts_with("acc_"));
    home.run(&["account", "create", "demo"]).failed(2, &["account demo exists"]);
    let line = home.run(&["account", "credit", "demo", "25.5", "--json"]).done().json();
    assert_eq!(line["amount"], 25_500_000_000_i64);
    home.run(&["account", "credit", "demo", "-0.5"]).done();
    home.run(&["account", "credit", "nobody", "1"]).failed(2, &["there is no account nobody", "hint: "]);
    home.run(&["account", "credit", "demo", "1e3"]).failed(2, &["a decimal"]);
    assert_eq!(home.run(&["account", "list", "--json"]).done().json()["accounts"][0]["balance"], 25_000_000_000_i64);
    assert!(home.run(&["account", "list", "--lang", "zh"]).done().out.contains("余额"));
}

#[test]
fn a_key_is_shown_once_and_known_by_its_id_afterwards() {
    let home = Home::with_account();
    let made =
        home.run(&["key", "create", "--account", "demo", "--models", "a,b*", "--rpm", "5", "--expires", "30d", "--json"]).done().json();
    let (key, kid) = (made["key"].as_str().unwrap(), made["kid"].as_str().unwrap());
    assert!(key.starts_with(&format!("sk-wr-{kid}-")));
    for arguments in [&["key", "list"][..], &["key", "list", "--json"], &["key", "show", kid], &["key", "show", kid, "--json"]] {
        let shown = home.run(arguments).done();
        assert!(shown.out.contains(kid) && !shown.out.contains(&key[16..]), "{shown:?}");
    }
    let row = home.run(&["key", "show", kid, "--json"]).done().json();
    assert_eq!((&row["models"][1], &row["limits"]["rpm"]), (&"b*".into(), &5.into()));
    for (change, state) in [("disable", "disabled"), ("enable", "active"), ("revoke", "revoked")] {
        assert_eq!(home.run(&["key", change, kid, "--json"]).done().json()["state"], state);
        assert_eq!(home.run(&["key", "show", kid, "--json"]).done().json()["state"], state);
    }
}

#[test]
fn a_key_without_an_account_is_refused_with_the_way_on() {
    let home = Home::with_account();
    home.run(&["key", "create", "--account", "nobody"]).failed(2, &["there is no account nobody", "hint: `weir account list`"]);
    home.run(&["key", "create", "--account", "demo", "--expires", "soon"]).failed(2, &["--expires", "duration"]);
    home.run(&["key", "create", "--account", "demo", "--zone", "Mars/Base"]).failed(2, &["Asia/Shanghai"]);
    home.run(&["key", "show", "nokey123"]).failed(2, &["there is no key nokey123", "hint: `weir key list`"]);
}

#[test]
fn r39_a_whole_key_where_an_id_is_wanted_is_refused_and_not_repeated() {
    let home = Home::with_account();
    let key = home.run(&["key", "create", "--account", "demo"]).done().out;
    for arguments in [&["key", "show", key.trim()][..], &["key", "revoke", key.trim()], &["calls", "list", "--key", key.trim()]] {
        let refused = home.run(arguments).failed(4, &["the id of a key, not a key", "hint: "]);
        assert!(!refused.err.contains(&key[16..40]));
    }
}

#[test]
fn a_foreign_key_is_taken_from_stdin_or_a_variable_and_shown_nowhere() {
    let home = Home::with_account();
    let foreign = "sk-foreign0123456789abcdefghijklmnop";
    let imported = home.run_on(foreign, &["key", "import", "--account", "demo", "--json"]).done();
    assert!(imported.json()["kid"].is_string() && !imported.out.contains("foreign"));
    let again = home.run_with(&[("OLD", foreign)], &["key", "import", "--account", "demo", "--from-env", "OLD"]);
    assert!(!again.failed(2, &["in the store already"]).err.contains("foreign"));
    home.run_on("two words", &["key", "import", "--account", "demo"]).failed(2, &["hint: copy it again"]);
    home.run(&["key", "import", "--account", "demo", "--from-env", "NOT_SET"]).failed(2, &["NOT_SET is not set"]);
}

#[test]
fn calls_are_asked_for_without_being_made() {
    let home = Home::with_account();
    assert_eq!(home.run(&["calls", "list", "--json"]).done().json()["calls"], serde_json::json!([]));
    assert_eq!(home.run(&["calls", "list", "--count", "--json", "--since", "1h"]).done().json()["count"], 0);
    assert_eq!(home.run(&["calls", "list", "--count"]).done().out, "0\n");
    assert!(home.run(&["calls", "list"]).done().err.contains("no such calls"));
    home.run(&["calls", "list", "--verdict", "W-STREAM-99"]).failed(2, &["no such code", "hint: "]);
    home.run(&["calls", "list", "--since", "yesterday"]).failed(2, &["duration"]);
    home.run(&["calls", "show", "req_123"]).failed(2, &["not a request id", "hint: it begins with wr_"]);
    home.run(&["calls", "show", "wr_00000000000000000000000000"]).failed(3, &["no record"]);
}

#[test]
fn the_audit_of_a_fresh_store_holds() {
    let home = Home::with_account();
    let report = home.run(&["audit", "--json"]).done().json();
    assert_eq!((&report["ok"], &report["accounts"]), (&true.into(), &1.into()));
    assert!(home.run(&["audit", "--lang", "zh"]).done().out.contains("符合"));
}
