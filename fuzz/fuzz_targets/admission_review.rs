//! Any bytes are a request or refused, and no image of a pod that is created is overlooked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use zastava_webhook::{
    images::{Found, MAX_IMAGES, Nothing, find},
    review::{Operation, parse, uid_of},
};

fuzz_target!(|bytes: &[u8]| {
    let uid = uid_of(bytes);
    let Ok(request) = parse(bytes) else { return };
    assert!(uid.is_none_or(|uid| uid == request.uid), "whoever is answered is who asked");
    assert!(!request.uid.is_empty());
    let Ok(found) = find(&request) else { return };
    let workload = match &found {
        Found::Nothing(Nothing::Unchanged) => {
            assert_eq!(request.operation, Operation::Update);
            return;
        }
        Found::Nothing(Nothing::Mirror) => {
            assert!(request.user.starts_with("system:node:"));
            return;
        }
        Found::Nothing(_) => None,
        Found::Workload(workload) => Some(workload),
    };
    let is_new_pod =
        request.kind.group.is_empty() && request.kind.kind == "Pod" && request.operation == Operation::Create;
    if !is_new_pod {
        return;
    }
    let workload = workload.expect("a pod that is created is looked at");
    assert!(
        workload.images.len() <= MAX_IMAGES && workload.images.iter().all(|image| !image.fields.is_empty())
    );
    // Read once more, by who knows nothing of our types.
    let object = request.object.map(|object| serde_json::from_str::<Value>(object.get()));
    let Some(Ok(object)) = object else { return };
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = object["spec"][list].as_array().into_iter().flatten();
        for image in containers.map(|container| container["image"].as_str().unwrap_or_default()) {
            assert!(workload.too_many || workload.images.iter().any(|known| known.reference == image));
        }
    }
});
