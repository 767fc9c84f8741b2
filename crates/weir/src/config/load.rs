//! Reads the configuration: the file, then `WEIR_…__…` from the environment, then every check. Returns all faults, not the first.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{
    Config, ConfigFault,
    check::check,
    fault::Faults,
    origin::{Origins, Part},
    shape::{Shape, types},
};
use crate::lang::text;

/// Longer files are no configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A configuration without faults.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// `None`: no file was found, everything is default or environment.
    pub(crate) file: Option<PathBuf>,
}

/// The JSON Schema of `weir.toml`.
pub(crate) fn schema() -> Json {
    schemars::schema_for!(Config).into()
}

/// Reads and checks `file` under the environment `variables`.
pub(crate) fn load(file: Option<&Path>, variables: &[(String, String)]) -> Result<Loaded, Vec<ConfigFault>> {
    let text = match file {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let shown = file.unwrap_or(Path::new("weir.toml"));
    let (mut table, mut origins) = parse(shown, &text)?;
    let shape = Shape::new(schema());
    let mut faults = Faults::default();
    for (name, value) in variables {
        set_from_variable(&shape, &mut table, &mut origins, name, value);
    }
    let value = Value::Table(table);
    shape.check(&value, &mut faults);
    let config = if faults.0.is_empty() { Some(deserialize(value, &mut faults)) } else { None };
    if let Some(Some(config)) = &config {
        check(config, variables, &mut faults);
    }
    match (config.flatten(), faults.0.is_empty()) {
        (Some(config), true) => Ok(Loaded { config, file: file.map(Path::to_owned) }),
        _ => Err(located(faults, &origins)),
    }
}

fn read(path: &Path) -> Result<String, Vec<ConfigFault>> {
    let fault = |why| vec![ConfigFault { at: path.display().to_string(), path: String::new(), why, hint: None }];
    let length = fs::metadata(path).map(|about| about.len());
    if length.is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(fault(text!("超过 {MAX_FILE_BYTES} 字节,不像配置文件", "is longer than {MAX_FILE_BYTES} bytes, no configuration")));
    }
    fs::read_to_string(path).map_err(|error| fault(text!("读不了:{error}", "cannot be read: {error}")))
}

/// The tree, and where its parts stand.
fn parse(file: &Path, text: &str) -> Result<(Table, Origins), Vec<ConfigFault>> {
    let parsed = toml::de::DeTable::parse(text);
    let (why, span) = match parsed {
        Ok(spanned) => {
            let origins = Origins::of_file(file, text, spanned.get_ref());
            match toml::from_str::<Table>(text) {
                Ok(table) => return Ok((table, origins)),
                Err(error) => (error.message().to_owned(), error.span()),
            }
        }
        Err(error) => (error.message().to_owned(), error.span()),
    };
    let origins = Origins::of_file(file, text, &toml::de::DeTable::new());
    let at = origins.at(span.map_or(0, |span| span.start));
    Err(vec![ConfigFault { at, path: String::new(), why: text!("不是 TOML:{why}", "is not TOML: {why}"), hint: None }])
}

/// Takes `WEIR_SERVER__LISTEN=…` as `server.listen`. A name that is no key is left for the check to find.
fn set_from_variable(shape: &Shape, table: &mut Table, origins: &mut Origins, name: &str, written: &str) {
    let Some(rest) = name.strip_prefix("WEIR_").filter(|rest| rest.contains("__")) else { return };
    let segments: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    let value = shape.below(&segments).map_or_else(|| Value::String(written.to_owned()), |node| as_type(written, node));
    let Some((last, above)) = segments.split_last() else { return };
    let mut place = table;
    for segment in above {
        let below = place.entry(segment.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(below) = below else { return };
        place = below;
    }
    place.insert(last.clone(), value);
    origins.set_by(&segments.join("."), name);
}

/// A variable is text; what it means depends on the key. What does not fit stays text, and the check says so.
fn as_type(written: &str, node: &Json) -> Value {
    let text = || Value::String(written.to_owned());
    match types(node).as_slice() {
        ["integer"] => written.parse().map_or_else(|_| text(), Value::Integer),
        ["boolean"] => written.parse().map_or_else(|_| text(), Value::Boolean),
        ["array"] => Value::Array(
            written.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| Value::String(item.to_owned())).collect(),
        ),
        _ => text(),
    }
}

/// The shape was checked, so this fails only where the schema is weaker than the types.
fn deserialize(value: Value, faults: &mut Faults) -> Option<Config> {
    let mut track = serde_path_to_error::Track::new();
    match Config::deserialize(serde_path_to_error::Deserializer::new(value, &mut track)) {
        Ok(mut config) => {
            config.policy.complete(config.longest_total());
            Some(config)
        }
        Err(_) => {
            faults.add(track.path().to_string(), text!("写法不对", "is not written as it should be"));
            None
        }
    }
}

fn located(faults: Faults, origins: &Origins) -> Vec<ConfigFault> {
    let mut found: Vec<_> = faults.0.into_iter().map(|(path, why, hint)| (origins.offset(&path), path, why, hint)).collect();
    found.sort_by_key(|(offset, ..)| *offset);
    let part = |why: &crate::lang::Text| if why.en == "unknown key" { Part::Key } else { Part::Value };
    found.into_iter().map(|(_, path, why, hint)| ConfigFault { at: origins.of(&path, part(&why)), path, why, hint }).collect()
}
