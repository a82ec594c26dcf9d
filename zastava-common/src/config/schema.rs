use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::root::Document;

/// The JSON Schema (draft 2020-12) of the configuration file, with ranges and defaults.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Document>().to_value()
}
