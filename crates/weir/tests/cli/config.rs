//! The configuration: every fault at once, where it is and what was meant; what is in force; never a secret.

use crate::weir::Home;

/// A configuration, what stderr says of it, and at which place.
const FAULTS: [(&str, &[&str]); 24] = [
    ("[server]\nlisten = ", &["weir.toml:2:", "is not TOML"]),
    ("[server]\nlisten = 5", &["weir.toml:2:10: server.listen: must be a string in quotes, found a whole number"]),
    ("[server]\nlisten = \"here\"", &["weir.toml:2:10: server.listen: must be IP:PORT"]),
    ("[server]\nlisen = \"127.0.0.1:1\"", &["weir.toml:2:1: server.lisen: unknown key", "hint: did you mean server.listen?"]),
    ("heartbeat = \"1s\"", &["weir.toml:1:1: heartbeat: unknown key", "hint: it belongs to streams.heartbeat"]),
    ("[streams]\nlinger = \"10 s\"", &["weir.toml:2:10: streams.linger: must be a duration", "such as \"30s\""]),
    ("[streams]\nclient_gone = \"stop\"", &["weir.toml:2:15: streams.client_gone: must be one of cancel, finish"]),
    ("[streams]\nheartbeat = \"0s\"", &["streams.heartbeat: must be more than 0"]),
    ("[limits]\nbody_bytes = \"32MB\"", &["weir.toml:2:14: limits.body_bytes: must be a size", "such as \"32MiB\""]),
    ("[limits]\ncalls = 0", &["limits.calls: must be 1 to"]),
    ("[timeouts]\nconnect = \"20m\"", &["timeouts.connect: 20m is longer than total, 10m"]),
    ("[[timeouts.rule]]\nidle = \"1s\"", &["timeouts.rule[0]: needs route or model"]),
    ("[prices.models.m]\ninput = 0.0001", &["prices.models.m.input: is too fine"]),
    ("[streams]\nheartbeat = \"30s\"", &["streams.heartbeat: 30s is not shorter than policy.short_chat.proxy_timeout, 30s"]),
    ("[breaker]\nopen = \"2m\"", &["weir.toml:2:8: breaker.open: 2m is longer than open_max, 1m"]),
    ("[retry]\nbudget_percent = 101", &["retry.budget_percent: must be 0 to 100"]),
    ("[policy.short_chat]\nmax_attempts = 11", &["policy.short_chat.max_attempts: must be 1 to 10", "backoff is missing"]),
    ("[policy.short_chats]\nmax_attempts = 1", &["policy.short_chats: unknown key", "did you mean policy.short_chat?"]),
    ("[groups.staff]\nmodels = []", &["groups.staff: lists no models"]),
    ("[replay]\nunmarked_retries = \"20m\"", &["replay.unmarked_retries: is longer than replay.window"]),
    ("[groups.bots]\nmodels = [\"*\"]\nunmarked_retries = \"200ms\"", &["groups.bots.unmarked_retries: must be 0s or at least 1s"]),
    ("[[upstream]]\nname = \"a\"", &["upstream[0]: base_url is missing"]),
    (
        "[[upstream]]\nname = \"a\"\nbase_url = \"https://x.example/v1/chat/completions\"",
        &["hint: write https://x.example/v1", "has no channel"],
    ),
    (
        "[[upstream]]\nname = \"a\"\nbase_url = \"https://x.example/v1\"\n[[upstream.channel]]\nname = \"c\"\nkey_env = \"NO_KEY\"",
        &["weir.toml:6:11: upstream[0].channel[0].key_env: the environment variable NO_KEY is not set", "hint: export NO_KEY="],
    ),
];

#[test]
fn every_fault_says_where_it_is_and_what_to_write() {
    for (text, words) in FAULTS {
        let home = Home::new();
        let file = home.file("weir.toml", text);
        let ran = home.run(&["config", "check", "--config", file.to_str().unwrap()]);
        ran.failed(2, words);
    }
}

#[test]
fn all_faults_are_told_at_once_and_in_the_order_of_the_file() {
    let home = Home::new();
    home.file("weir.toml", "[streams]\nlinger = 5\nheartbeet = \"1s\"\n[limits]\ncalls = \"x\"");
    let told = home.run(&["config", "check"]).failed(2, &[]).err;
    let places: Vec<_> = told.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(places.len(), 3, "{told}");
    assert!(places[0].contains(":2:10:") && places[1].contains(":3:1:") && places[2].contains(":5:9:"), "{told}");
    let report = home.run(&["config", "check", "--json", "--lang", "zh"]);
    assert_eq!((report.exit, &report.json()["faults"][1]["hint"]), (2, &"是不是 streams.heartbeat?".into()));
}

#[test]
fn r50_a_secret_in_the_file_is_refused_and_never_repeated() {
    let secret = "sk-proj-0123456789abcdef0123456789abcdef";
    for text in [
        format!("[[upstream]]\nname = \"a\"\nbase_url = \"https://x.example/v1\"\nkey = \"{secret}\""),
        format!("[limits]\ncalls = \"{secret}\""),
        format!("[streams]\nlinger = \"{secret}\""),
        format!("[[upstream]]\nname = \"a\"\nbase_url = \"https://u:{secret}@x.example/v1\""),
        format!("[[upstream]]\nname = \"a\"\nbase_url = \"http://x\"\n[[upstream.channel]]\nname = \"c\"\nkey_env = \"{secret}\""),
        format!("{secret} {secret}"),
    ] {
        let home = Home::new();
        home.file("weir.toml", &text);
        for lang in ["zh", "en"] {
            let told = home.run(&["config", "check", "--lang", lang]).failed(2, &["error: "]).err;
            assert!(!told.contains("0123456789"), "{told}");
        }
    }
}

const WHOLE: &str = r#"
data = "books"
[server]
listen = "127.0.0.1:0"
[streams]
client_gone = "finish"
[[timeouts.rule]]
route = "/v1/responses"
model = "o3*"
first_byte = "5m"
[prices.models."gpt-4o-mini"]
input = 0.15
cached = "0.075"
output = 0.6
[groups.staff]
models = ["gpt-4o-mini"]
[[upstream]]
name = "openai"
base_url = "https://api.openai.com/v1"
[[upstream.channel]]
name = "first"
key_env = "FIRST"
models = ["gpt-4o-mini", "gpt-5"]
[[upstream.channel]]
name = "second"
key_file = "second.key"
weight = 3
[[upstream]]
name = "local"
base_url = "http://127.0.0.1:11434/v1"
[[upstream.channel]]
name = "free"
no_key = true
"#;

#[test]
fn a_whole_configuration_is_fine_and_shows_names_instead_of_secrets() {
    let home = Home::new();
    home.file("weir.toml", WHOLE);
    home.file("second.key", "sk-second-secret-0123456789\n");
    let variables = [("FIRST_FILE", "second.key"), ("WEIR_STREAMS__LINGER", "3s"), ("WEIR_GROUPS__GUESTS__MODELS", "a, b")];
    let check = home.run_with(&variables, &["config", "check"]).done();
    assert!(check.out.contains("2 upstreams") && check.err.contains("gpt-5") && !check.err.contains("gpt-4o-mini"), "{check:?}");
    let show = home.run_with(&variables, &["config", "show"]).done();
    for line in
        ["linger = \"3s\"", "client_gone = \"finish\"", "input = \"0.15\"", "key_env = \"FIRST\"", "total = \"10m\"", "[\"a\", \"b\"]"]
    {
        assert!(show.out.contains(line), "{line} in {}", show.out);
    }
    assert!(!show.out.contains("secret") && !check.out.contains("secret"));
    let again = home.file("shown.toml", &show.out);
    home.run_with(&variables, &["config", "check", "--config", again.to_str().unwrap()]).done();
}

#[test]
fn a_variable_that_sets_a_wrong_value_is_named() {
    let home = Home::new();
    home.run_with(&[("WEIR_LIMITS__CALLS", "many")], &["config", "check"])
        .failed(2, &["WEIR_LIMITS__CALLS: limits.calls: must be a whole number"]);
    home.run_with(&[("WEIR_STREAMS__LINGR", "1s")], &["config", "check"])
        .failed(2, &["WEIR_STREAMS__LINGR", "did you mean streams.linger?"]);
}

#[test]
fn the_schema_describes_every_key() {
    let home = Home::new();
    let schema: serde_json::Value = serde_json::from_str(&home.run(&["config", "schema"]).done().out).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$defs"]["Streams"]["properties"]["heartbeat"]["description"].is_string());
}

#[test]
fn serving_without_an_upstream_or_a_file_says_what_to_do() {
    let home = Home::new();
    home.run(&["serve"]).failed(2, &["has no upstream", "hint: add [[upstream]]"]);
    home.run(&["serve", "--config", "none.toml"]).failed(2, &["none.toml", "cannot be read"]);
}

/// What stands at the root of the repository for operators to copy.
const EXAMPLE: &str = include_str!("../../../../weir.example.toml");

#[test]
fn the_example_is_right_and_has_the_defaults_where_it_says_so() {
    let home = Home::new();
    home.file("weir.toml", EXAMPLE);
    let key = [("OPENAI_API_KEY", "sk-invented")];
    let checked = home.run_with(&key, &["config", "check"]).done();
    assert_eq!(checked.err, "", "the example should need no remark");
    let (example, default) =
        (home.run_with(&key, &["config", "show", "--json"]).json(), Home::new().run(&["config", "show", "--json"]).json());
    for section in ["server", "limits", "streams", "policy", "retry", "breaker"] {
        assert_eq!(example[section], default[section], "{section}");
    }
    for limit in ["connect", "first_byte", "idle", "total"] {
        assert_eq!(example["timeouts"][limit], default["timeouts"][limit], "{limit}");
    }
}

#[test]
fn the_example_names_every_key_there_is() {
    let schema: serde_json::Value = serde_json::from_str(&Home::new().run(&["config", "schema"]).done().out).unwrap();
    let shapes = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<_> = shapes.filter_map(|shape| shape["properties"].as_object()).flat_map(|keys| keys.keys()).collect();
    assert!(keys.len() > 30, "{keys:?}");
    let words: Vec<_> = EXAMPLE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<_> = keys.into_iter().filter(|key| !words.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
