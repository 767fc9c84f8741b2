//! The policies: every value written down, shown in both languages and as JSON, and none that leaves one out loads.

use crate::weir::Home;

const EIGHT: [&str; 8] =
    ["client_timeout_ms", "proxy_timeout_ms", "upstream_timeout_ms", "max_attempts", "retry_statuses", "backoff", "high_cost", "charge"];

#[test]
fn r38_every_scenario_shows_all_eight_values_and_none_is_called_default() {
    let home = Home::new();
    let shown = home.run(&["policy", "show", "--json"]).done();
    assert!(!shown.out.contains("default"), "{}", shown.out);
    let shown = shown.json();
    let policies = shown["policies"].as_array().unwrap();
    let names: Vec<_> = policies.iter().map(|policy| policy["scenario"].as_str().unwrap()).collect();
    assert_eq!(names, ["short_chat", "batch", "media_task", "shared_key"]);
    for policy in policies {
        for value in EIGHT {
            assert!(!policy[value].is_null(), "{value} of {policy}");
        }
        for wait in ["base_ms", "cap_ms", "jitter"] {
            assert!(!policy["backoff"][wait].is_null(), "{wait} of {policy}");
        }
    }
    assert_eq!((&shown["budget"]["percent"], &shown["breaker"]["failures"]), (&20.into(), &5.into()));
    let media = &home.run(&["policy", "show", "--json", "--scenario", "media_task"]).done().json()["policies"];
    assert_eq!(media.as_array().unwrap().len(), 1);
    assert_eq!((&media[0]["high_cost"], &media[0]["retry_statuses"]), (&"unsent_only".into(), &serde_json::json!([])));
}

#[test]
fn r38_a_person_reads_the_same_in_both_languages() {
    let home = Home::new();
    let (en, zh) = (home.run(&["policy", "show"]).done().out, home.run(&["policy", "show", "--lang", "zh"]).done().out);
    let values = ["short_chat", "batch", "media_task", "shared_key", "10m", "30s", "500ms", "8s", "520–524", "failover_once", "per_task"];
    for value in values {
        assert!(en.contains(value) && zh.contains(value), "{value} in {en}{zh}");
    }
    let rows = |text: &str| text.lines().count();
    assert_eq!(rows(&en), rows(&zh));
    assert!(zh.contains("高成本例外") && zh.contains("扣费") && en.contains("high-cost exception"));
    assert!(en.lines().all(|line| line.chars().count() <= 110), "{en}");
    home.run(&["policy", "show", "--scenario", "chat"]).failed(2, &["short_chat"]);
}

const BATCH: [&str; 9] = [
    "client_timeout = \"1h\"",
    "proxy_timeout = \"45s\"",
    "upstream_timeout = \"1h\"",
    "max_attempts = 8",
    "retry_statuses = [429, 503]",
    "backoff = { base = \"2s\", cap = \"1m\", jitter = \"full\" }",
    "high_cost = \"never\"",
    "charge = \"per_call\"",
    "patience = \"5m\"",
];

fn batch(lines: &[&str]) -> String {
    format!("[policy.batch]\n{}\n", lines.join("\n"))
}

#[test]
fn a_written_policy_replaces_the_built_in_one_and_no_other() {
    let home = Home::new();
    home.file("weir.toml", &batch(&BATCH));
    home.run(&["config", "check"]).done();
    let shown = home.run(&["policy", "show", "--json"]).done().json();
    let (chat, batch) = (&shown["policies"][0], &shown["policies"][1]);
    assert_eq!((&batch["max_attempts"], &batch["backoff"]["cap_ms"], &batch["high_cost"]), (&8.into(), &60_000.into(), &"never".into()));
    assert_eq!((&chat["max_attempts"], &chat["backoff"]["cap_ms"]), (&3.into(), &8_000.into()));
}

#[test]
fn r45_a_policy_that_leaves_a_value_out_does_not_load() {
    for (left_out, line) in BATCH.iter().enumerate() {
        let home = Home::new();
        let rest: Vec<&str> = BATCH.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        home.file("weir.toml", &batch(&rest));
        let name = line.split(' ').next().unwrap();
        let missing = format!("policy.batch: {name} is missing");
        home.run(&["config", "check"]).failed(2, &[&missing]);
        home.run(&["policy", "show"]).failed(2, &[&missing]);
    }
    for (part, words) in [("base = \"2s\", ", "base is missing"), (", jitter = \"full\"", "jitter is missing")] {
        let home = Home::new();
        home.file("weir.toml", &batch(&BATCH).replace(part, ""));
        home.run(&["config", "check"]).failed(2, &["policy.batch.backoff", words]);
    }
}

#[test]
fn a_policy_that_breaks_a_promise_does_not_load() {
    let table = [
        ("[429, 503]", "[429, 404]", "policy.batch.retry_statuses: 404 is never retried"),
        ("base = \"2s\"", "base = \"2m\"", "policy.batch.backoff.base: 2m is longer than cap, 1m"),
        ("patience = \"5m\"", "patience = \"1h\"", "policy.batch.patience: 1h is not shorter than upstream_timeout, 1h"),
        ("\"45s\"", "\"10s\"", "streams.heartbeat: 15s is not shorter than policy.batch.proxy_timeout, 10s"),
        ("per_call", "per_task", "policy.batch.charge: must be per_call"),
        ("\"full\"", "\"none\"", "policy.batch.backoff.jitter: must be one of full"),
        ("policy.batch]", "policy.media_task]", "policy.media_task.charge: must be per_task"),
    ];
    for (written, wrong, words) in table {
        let home = Home::new();
        home.file("weir.toml", &batch(&BATCH).replace(written, wrong));
        home.run(&["config", "check"]).failed(2, &[words]);
    }
    let home = Home::new();
    let media = batch(&BATCH).replace("batch", "media_task").replace("per_call", "per_task").replace("never", "failover_once");
    home.file("weir.toml", &media);
    home.run(&["config", "check"])
        .failed(2, &["policy.media_task.high_cost: a task that may have been submitted", "hint: write unsent_only"]);
}

#[test]
fn built_in_policies_let_calls_last_as_long_as_the_limits_do() {
    let home = Home::new();
    home.file("weir.toml", "[timeouts]\ntotal = \"20m\"\n");
    let chat = &home.run(&["policy", "show", "--json"]).done().json()["policies"][0];
    assert_eq!((&chat["upstream_timeout_ms"], &chat["client_timeout_ms"]), (&1_200_000.into(), &1_200_000.into()));
}
