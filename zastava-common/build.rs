//! Generates the event model from `proto/`: messages, serde for the JSON form, gRPC clients and servers.
//!
//! Without the feature `std` there is nothing to generate: the kernel programs share `abi` alone.

fn main() {
    #[cfg(feature = "std")]
    if let Err(error) = proto::generate() {
        println!("cargo::error={error}");
    }
}

#[cfg(feature = "std")]
mod proto {
    use protox::prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
    use tonic_prost_build::Builder;

    const INCLUDE: &str = "proto";
    /// What has a JSON form.
    const WITH_JSON: [&str; 2] = ["zastava/v1/event.proto", "zastava/v1/containers.proto"];
    const SERVICES: [&str; 2] = ["zastava/v1/stream.proto", "zastava/v1/ingest.proto"];

    pub(crate) fn generate() -> Result<(), Box<dyn std::error::Error>> {
        println!("cargo::rerun-if-changed={INCLUDE}");
        let mut compiler = protox::Compiler::new([INCLUDE])?;
        compiler
            .include_source_info(true)
            .include_imports(true)
            .open_files(WITH_JSON.iter().chain(&SERVICES))?;
        let mut builder = tonic_prost_build::configure().btree_map(".");
        let pool = compiler.descriptor_pool();
        for file in WITH_JSON.iter().filter_map(|name| pool.get_file_by_name(name)) {
            builder = serde_of_file(builder, &file);
        }
        builder.compile_fds(compiler.file_descriptor_set())?;
        Ok(())
    }

    /// What the services wrap around messages stays protobuf.
    fn serde_of_file(mut builder: Builder, file: &FileDescriptor) -> Builder {
        for message in file.messages() {
            builder = serde_of_message(builder, &message);
        }
        builder
    }

    fn serde_of_message(mut builder: Builder, message: &MessageDescriptor) -> Builder {
        builder = builder
            .message_attribute(message.full_name(), "#[derive(::serde::Serialize, ::serde::Deserialize)]")
            .message_attribute(message.full_name(), "#[serde(default, rename_all = \"camelCase\")]");
        for field in message.fields() {
            builder = builder.field_attribute(field.full_name(), serde_of_field(&field));
        }
        for values in message.child_enums() {
            builder = serde_of_enum(builder, &values);
        }
        builder
    }

    fn serde_of_field(field: &FieldDescriptor) -> String {
        let skip = "skip_serializing_if = \"super::json::Absent::absent\"";
        match field.kind() {
            Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
                format!("#[serde(with = \"super::json::timestamp\", {skip})]")
            }
            Kind::Enum(values) => {
                format!("#[serde(with = \"super::json::Name::<{}>\", {skip})]", rust_path(&values))
            }
            _ => format!("#[serde({skip})]"),
        }
    }

    fn serde_of_enum(mut builder: Builder, values: &EnumDescriptor) -> Builder {
        builder =
            builder.enum_attribute(values.full_name(), "#[derive(::serde::Serialize, ::serde::Deserialize)]");
        for value in values.values() {
            let variant = format!("{}.{}", values.full_name(), value.name());
            builder = builder.field_attribute(variant, format!("#[serde(rename = \"{}\")]", value.name()));
        }
        builder
    }

    /// Where prost puts an enum that stands in a message: `event::Kind`, `container_status::State`.
    fn rust_path(values: &EnumDescriptor) -> String {
        values.parent_message().map_or_else(
            || values.name().to_owned(),
            |message| format!("{}::{}", snake(message.name()), values.name()),
        )
    }

    fn snake(name: &str) -> String {
        let mut snake = String::new();
        for (at, char) in name.char_indices() {
            if char.is_ascii_uppercase() && at > 0 {
                snake.push('_');
            }
            snake.push(char.to_ascii_lowercase());
        }
        snake
    }
}
