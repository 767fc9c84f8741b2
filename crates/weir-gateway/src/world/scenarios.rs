//! What the upstream does: any word of the simulator's catalogue, and words together.

use weir_sim::catalog::{CATALOG, Group};

use super::chance::Chance;

/// Words with `#` for a count and `~` for a span, drawn anew each time.
const SHAPES: &[&str] = &[
    "cut_after=#",
    "cut_fin_after=#",
    "cut_clean_after=#",
    "cut_bytes=%",
    "no_done",
    "no_finish",
    "finish_no_done",
    "unterminated_done",
    "no_data",
    "no_data=~",
    "stall=~,stall_after=#",
    "first_byte=~",
    "slow_headers=~",
    "interval=~",
    "interval=40ms,jitter",
    "heartbeat=1s,first_byte=~",
    "heartbeat=2s,stall=~,stall_after=#",
    "error_first",
    "error_after=#",
    "error_flat",
    "error_with_choices",
    "error_field",
    "429_first_event",
    "crlf",
    "cr",
    "bom",
    "comments=#",
    "empty_data",
    "glued=#",
    "split=#",
    "blocks=%",
    "buffered",
    "one_late",
    "tools=2",
    "reasoning=3",
    "no_usage",
    "big=3",
    "wrong_type=json",
    "wrong_type=html",
    "json_for_stream",
    "html_for_stream",
    "short_body",
    "bad_chunk",
    "close",
    "http10",
    "gzip",
    "reset_after_accept",
];

/// Words that say nothing new here: chance of its own, jobs, megabytes, the connection's fate, which the dial decides, and answers that repeat the prompt.
const LEFT_OUT: &[&str] = &["echo", "echo_error", "fail_rate", "flaky", "rpm", "big", "tokens", "reset_before_accept"];

/// A model name and whether it asks for a good answer.
pub(super) fn draw(chance: &mut Chance) -> (String, bool) {
    let tokens = chance.between(1, 24);
    let (words, good) = match chance.between(0, 9) {
        0..=2 => (String::new(), true),
        3..=5 => one_of_the_catalogue(chance),
        6..=8 => (shape(chance), false),
        _ => (format!("{},{}", shape(chance), shape(chance)), false),
    };
    (if words.is_empty() { format!("sim:tokens={tokens}") } else { format!("sim:tokens={tokens},{words}") }, good)
}

fn one_of_the_catalogue(chance: &mut Chance) -> (String, bool) {
    loop {
        let entry = chance.pick(CATALOG);
        if entry.group != Group::Task && !LEFT_OUT.contains(&entry.name) {
            let model = entry.model();
            return (model.trim_start_matches("sim:").to_owned(), entry.group == Group::Answer);
        }
    }
}

fn shape(chance: &mut Chance) -> String {
    let mut words = String::new();
    for c in chance.pick(SHAPES).chars() {
        match c {
            '#' => words.push_str(&chance.between(1, 12).to_string()),
            '%' => words.push_str(&chance.between(1, 3_000).to_string()),
            '~' => words.push_str(&format!("{}ms", chance.span().as_millis())),
            c => words.push(c),
        }
    }
    words
}
