//! Compares what was written with the JSON Schema of the configuration and finds all faults at once, each with its key path.
//! serde would stop at the first one and repeat the value in its message.

use serde_json::Value as Json;
use toml::Value;

use super::{
    fault::{Faults, secrets_elsewhere},
    nearest::nearest,
    origin::join,
    units::{Money, Size, Span, decimal_of},
};
use crate::lang::{Text, text};

/// The schema, with its root for `$ref`.
#[derive(Debug)]
pub(crate) struct Shape {
    root: Json,
    /// Every key path of the schema, for "did you mean".
    paths: Vec<String>,
}

impl Shape {
    pub(crate) fn new(root: Json) -> Self {
        let mut shape = Self { root, paths: Vec::new() };
        let mut paths = Vec::new();
        shape.collect(&shape.root, "", &mut paths);
        shape.paths = paths;
        shape
    }

    fn collect(&self, node: &Json, path: &str, out: &mut Vec<String>) {
        let node = self.resolve(node);
        for (key, below) in node["properties"].as_object().into_iter().flatten() {
            let path = join(path, key);
            self.collect(below, &path, out);
            out.push(path);
        }
        if node["items"].is_object() {
            self.collect(&node["items"], path, out);
        }
        if node["additionalProperties"].is_object() {
            self.collect(&node["additionalProperties"], &format!("{path}.NAME"), out);
        }
    }

    /// Every key path, `NAME` standing for a name of one's own.
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Follows `$ref`, and takes the part of an optional value that is not null.
    fn resolve<'a>(&'a self, node: &'a Json) -> &'a Json {
        if let Some(name) = node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            return self.resolve(&self.root["$defs"][name]);
        }
        match node["anyOf"].as_array().and_then(|any| any.iter().find(|part| part["type"] != "null")) {
            Some(part) => self.resolve(part),
            None => node,
        }
    }

    /// The schema of a key path given as segments.
    pub(crate) fn below(&self, segments: &[String]) -> Option<&Json> {
        segments.iter().try_fold(self.resolve(&self.root), |node, segment| {
            let known = node["properties"].get(segment);
            known.or_else(|| node.get("additionalProperties").filter(|other| other.is_object())).map(|below| self.resolve(below))
        })
    }

    /// Finds all faults of a whole configuration.
    pub(crate) fn check(&self, value: &Value, faults: &mut Faults) {
        self.check_at(value, &self.root, "", faults);
    }

    fn check_at(&self, value: &Value, node: &Json, path: &str, faults: &mut Faults) {
        let node = self.resolve(node);
        let wanted = types(node);
        if !wanted.is_empty() && !wanted.iter().any(|kind| fits(value, kind)) {
            return faults.add(path, wrong_type(value, &wanted));
        }
        match value {
            Value::Table(table) => self.check_table(table, node, path, faults),
            Value::Array(items) if node["items"].is_object() => {
                for (i, item) in items.iter().enumerate() {
                    self.check_at(item, &node["items"], &format!("{path}[{i}]"), faults);
                }
            }
            _ => check_scalar(value, node, path, faults),
        }
    }

    fn check_table(&self, table: &toml::Table, node: &Json, path: &str, faults: &mut Faults) {
        for (key, below) in table {
            let path_below = join(path, key);
            if let Some(known) = node["properties"].get(key) {
                self.check_at(below, known, &path_below, faults);
            } else if node["additionalProperties"].is_object() {
                self.check_at(below, &node["additionalProperties"], &path_below, faults);
            } else {
                self.unknown_key(key, node, path, faults);
            }
        }
        for missing in node["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if !table.contains_key(missing) {
                faults.add(path, text!("缺少 {missing}", "{missing} is missing"));
            }
        }
    }

    fn unknown_key(&self, key: &str, node: &Json, path: &str, faults: &mut Faults) {
        let why = text!("没有这个配置项", "unknown key");
        let here = node["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let path_below = join(path, key);
        if let Some(name) = nearest(key, here) {
            let meant = join(path, name);
            return faults.add_with_hint(path_below, why, text!("是不是 {meant}?", "did you mean {meant}?"));
        }
        let lower = key.to_ascii_lowercase();
        if ["key", "secret", "token", "password"].iter().any(|word| lower.contains(word)) {
            return faults.add_with_hint(path_below, why, secrets_elsewhere());
        }
        match self.paths.iter().find(|known| known.rsplit('.').next() == Some(key)) {
            Some(meant) => faults.add_with_hint(path_below, why, text!("它属于 {meant}", "it belongs to {meant}")),
            None => {
                faults.add_with_hint(path_below, why, text!("`weir config schema` 列出全部配置项", "`weir config schema` lists every key"))
            }
        }
    }
}

/// The JSON types that a node allows, null left out.
pub(crate) fn types(node: &Json) -> Vec<&str> {
    if node.get("enum").is_some() || node.get("oneOf").is_some() {
        return vec!["string"];
    }
    match &node["type"] {
        Json::String(kind) => vec![kind.as_str()],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).filter(|kind| *kind != "null").collect(),
        _ => Vec::new(),
    }
}

fn fits(value: &Value, kind: &str) -> bool {
    match value {
        Value::String(_) => kind == "string",
        Value::Integer(_) => matches!(kind, "integer" | "number"),
        Value::Float(_) => kind == "number",
        Value::Boolean(_) => kind == "boolean",
        Value::Array(_) => kind == "array",
        Value::Table(_) => kind == "object",
        Value::Datetime(_) => false,
    }
}

fn wrong_type(value: &Value, wanted: &[&str]) -> Text {
    let (found, wanted) = (type_words(value.type_str()), type_words(wanted[0]));
    let (found_zh, found_en, wanted_zh, wanted_en) = (found.0, found.1, wanted.0, wanted.1);
    Text { zh: format!("应是{wanted_zh},写成了{found_zh}"), en: format!("must be {wanted_en}, found {found_en}") }
}

fn type_words(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "string" => ("带引号的文字", "a string in quotes"),
        "integer" => ("整数", "a whole number"),
        "number" | "float" => ("数字", "a number"),
        "boolean" => ("true 或 false", "true or false"),
        "array" => ("列表 […]", "a list […]"),
        "object" | "table" => ("一个表", "a table"),
        _ => ("日期", "a date"),
    }
}

/// Words, ranges and formats of one value whose type is right.
fn check_scalar(value: &Value, node: &Json, path: &str, faults: &mut Faults) {
    if let Value::String(text) = value {
        let words = allowed_words(node);
        if !words.is_empty() && !words.contains(&text.as_str()) {
            let list = words.join(", ");
            return faults.add(path, text!("只能是 {list} 之一", "must be one of {list}"));
        }
    }
    if let (Value::Integer(number), false) = (value, node["format"] == "price") {
        let (min, max) = (node["minimum"].as_i64().unwrap_or(i64::MIN), node["maximum"].as_i64().unwrap_or(i64::from(u32::MAX)));
        if *number < min || *number > max {
            return faults.add(path, text!("应在 {min} 到 {max} 之间", "must be {min} to {max}"));
        }
    }
    let written = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => decimal_of(*number),
        _ => return,
    };
    match node["format"].as_str() {
        Some("span") if written.parse::<Span>().is_err() => {
            faults.add(
                path,
                text!(
                    "不是时长:整数加 ms、s、m、h 或 d,例如 \"30s\"",
                    "must be a duration: a whole number with ms, s, m, h or d, such as \"30s\""
                ),
            );
        }
        Some("size") if written.parse::<Size>().is_err() => {
            faults.add(
                path,
                text!(
                    "不是大小:整数加 B、KiB、MiB 或 GiB,例如 \"32MiB\"",
                    "must be a size: a whole number with B, KiB, MiB or GiB, such as \"32MiB\""
                ),
            );
        }
        Some("price") => check_price(&written, node, path, faults),
        _ => {}
    }
}

fn check_price(written: &str, node: &Json, path: &str, faults: &mut Faults) {
    let per = node["x-per"].as_u64().unwrap_or(1);
    match written.parse::<Money>() {
        Err(_) => faults.add(
            path,
            text!("不是价格:非负小数,最多 9 位,例如 0.15", "must be a price: a decimal, not negative, at most 9 places, such as 0.15"),
        ),
        Ok(price) if price.each(per).is_none() => {
            faults.add(
                path,
                text!("太细:每百万 token 的价格最多 3 位小数", "is too fine: a price per million tokens has at most 3 decimals"),
            );
        }
        Ok(_) => {}
    }
}

/// The words of an enum, documented (`oneOf`) or not (`enum`).
fn allowed_words(node: &Json) -> Vec<&str> {
    let plain = node["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let documented = node["oneOf"].as_array().into_iter().flatten();
    let documented = documented
        .flat_map(|one| one["const"].as_str().into_iter().chain(one["enum"].as_array().into_iter().flatten().filter_map(Json::as_str)));
    plain.chain(documented).collect()
}
