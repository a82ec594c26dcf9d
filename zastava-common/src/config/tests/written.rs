//! What the repository keeps of the configuration beside the code: the schema, the table of keys, the example.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use serde_json::Value;

use super::accepted;
use crate::config::{self, schema};

const BEGIN: &str = "<!-- keys: begin (generated) -->\n";
const END: &str = "<!-- keys: end -->";

#[test]
fn the_schema_under_deploy_is_current() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    current("deploy/config.schema.json", |_| schema);
}

#[test]
fn the_table_of_keys_is_current() {
    current("docs/configuration.md", |text| {
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        format!("{before}{BEGIN}{}{END}{after}", table())
    });
}

#[test]
fn the_example_loads_and_shows_every_key_of_the_sensor() {
    let text = fs::read_to_string(path("deploy/zastava.example.yaml")).unwrap();
    let config = accepted(&text);

    assert_eq!(config.sensor, config::Sensor::default());
    let keys = schema()["properties"]["zastava"]["properties"]["sensor"]["properties"].clone();
    for key in keys.as_object().unwrap().keys() {
        assert!(text.contains(&format!("    {key}:")), "{key}");
    }
}

/// The file is what `make` makes of it; with `ZASTAVA_BLESS` set it is written instead.
fn current(file: &str, make: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(path(file)).unwrap_or_default();
    let wanted = make(&text);
    if env::var_os("ZASTAVA_BLESS").is_some() {
        fs::write(path(file), &wanted).unwrap();
    } else {
        let hint = "run `ZASTAVA_BLESS=1 cargo test -p zastava-common config` and look at the difference";
        assert!(text == wanted, "{file} is not current: {hint}");
    }
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// Every key by name, from the schema.
fn table() -> String {
    let mut table = "| key | allowed | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    rows(&schema()["properties"]["zastava"], "", &mut table);
    table
}

fn rows(section: &Value, key: &str, table: &mut String) {
    let required: Vec<&str> =
        section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, value) in section["properties"].as_object().unwrap() {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        // A line of its own would end the table.
        let meaning = value["description"].as_str().unwrap().replace('\n', " ");
        if value["properties"].is_object() {
            writeln!(table, "| **`{key}`** | | | {meaning} |").unwrap();
            rows(value, &key, table);
            continue;
        }
        if value["items"]["properties"].is_object() {
            writeln!(table, "| **`{key}[]`** | list | `[]` | {meaning} |").unwrap();
            rows(&value["items"], &format!("{key}[]"), table);
            continue;
        }
        let default = match &value["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            default => format!("`{default}`").replace('"', "").replace(',', ", "),
        };
        writeln!(table, "| `{key}` | {} | {default} | {meaning} |", allowed(value)).unwrap();
    }
}

fn allowed(value: &Value) -> String {
    match value["type"].as_str() {
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") if value["enum"].is_array() => {
            format!("power of two, {} to {}", value["minimum"], value["maximum"])
        }
        Some("integer") => format!("{} to {}", value["minimum"], value["maximum"]),
        Some("array") => format!("list of: {}", allowed(&value["items"])),
        Some("string") if value["enum"].is_array() => {
            let words = value["enum"].as_array().unwrap().iter().filter_map(Value::as_str);
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Some("string") => value["patternErrorMessage"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}: {value}"),
    }
}
