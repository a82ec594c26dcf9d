//! Whether the API server was told what the configuration says. Nobody else notices when it was not: the webhook answers
//! as it should, and is not asked about a namespace, or is not missed in it when it is dead.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};
use zastava_common::{config::Admission, metric};

use super::{NAME, webhooks};

const EVERY: Duration = Duration::from_mins(1);
const WITHIN: Duration = Duration::from_secs(10);
/// Differences that are told, and characters of each.
const MOST: usize = 8;
const LONGEST: usize = 300;

/// What decides which requests come, and what happens when nobody answers.
const FIELDS: [&str; 8] = [
    "clientConfig/service",
    "failurePolicy",
    "matchConditions",
    "matchPolicy",
    "namespaceSelector",
    "objectSelector",
    "rules",
    "timeoutSeconds",
];

/// Compares once a minute; tells what differs when it is something else than before.
#[derive(Debug)]
pub struct Check {
    next: Instant,
    running: Option<JoinHandle<()>>,
    told: Arc<Mutex<String>>,
}

impl Default for Check {
    fn default() -> Self {
        Self { next: Instant::now(), running: None, told: Arc::default() }
    }
}

impl Check {
    /// Looks in the background when it is time; one look at once.
    pub fn tick(&mut self, client: &Client, admission: &Admission) {
        let busy = self.running.as_ref().is_some_and(|task| !task.is_finished());
        if busy || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let (client, admission, told) = (client.clone(), admission.clone(), Arc::clone(&self.told));
        self.running = Some(tokio::spawn(async move {
            let found = look(&client, &admission).await;
            let text = found.as_ref().map_or_else(Clone::clone, |differences| differences.join("; "));
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = *told != text;
            match &found {
                Ok(differences) => {
                    let current = if differences.is_empty() { 1.0 } else { 0.0 };
                    metrics::gauge!(metric::ADMISSION_WEBHOOKS_CURRENT).set(current);
                    if is_new && differences.is_empty() {
                        tracing::info!("the API server is told what the configuration says again");
                    } else if is_new {
                        tracing::warn!(
                            "the API server is told something else than the configuration says \
                             (`zastava-webhook config webhooks` prints that): {text}"
                        );
                    }
                }
                Err(why) if is_new => {
                    tracing::info!("what the API server is told is not compared: {why}");
                }
                Err(_) => {}
            }
            *told = text;
        }));
    }
}

async fn look(client: &Client, admission: &Admission) -> Result<Vec<String>, String> {
    let own = client.default_namespace().to_owned();
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let live = match timeout(WITHIN, api.get_opt(NAME)).await {
        Ok(Ok(Some(live))) => live,
        Ok(Ok(None)) => return Ok(vec![format!("there is no ValidatingWebhookConfiguration {NAME}")]),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("the API server does not answer".to_owned()),
    };
    let live = serde_json::to_value(live).map_err(|error| error.to_string())?;
    differences(admission, &own, &live)
}

/// How what the API server was told differs from what stands in the configuration; empty: it does not.
fn differences(admission: &Admission, own: &str, live: &Value) -> Result<Vec<String>, String> {
    let wanted: Value =
        serde_saphyr::from_str(&webhooks(admission, own)).map_err(|error| error.to_string())?;
    let mut differences = Vec::new();
    for entry in entries(&wanted) {
        let name = name(entry);
        let Some(its) = entries(live).iter().find(|its| its["name"] == entry["name"]) else {
            differences.push(format!("{name} is not there"));
            continue;
        };
        for field in FIELDS {
            let of = |entry: &Value| plain(entry.pointer(&format!("/{field}")));
            let (is, should) = (of(its), of(entry));
            if is != should {
                differences.push(format!("{name}: {field} is {is} instead of {should}"));
            }
        }
    }
    for entry in entries(live) {
        if !entries(&wanted).iter().any(|its| its["name"] == entry["name"]) {
            differences.push(format!("{} is there, which no namespace needs", name(entry)));
        }
    }
    differences.truncate(MOST);
    Ok(differences.iter().map(|text| text.chars().take(LONGEST).collect()).collect())
}

fn entries(configuration: &Value) -> &[Value] {
    configuration["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(entry: &Value) -> String {
    entry["name"].as_str().unwrap_or_default().escape_debug().to_string()
}

/// Without what the API server adds as a default that says nothing, and without order, which says nothing either.
fn plain(value: Option<&Value>) -> Value {
    match value {
        Some(Value::Array(list)) => {
            let mut list: Vec<Value> = list.iter().map(|one| plain(Some(one))).collect();
            list.sort_by_key(Value::to_string);
            if list.is_empty() { Value::Null } else { Value::Array(list) }
        }
        Some(Value::Object(object)) => {
            let kept = object.iter().map(|(key, value)| (key.clone(), plain(Some(value))));
            let kept: serde_json::Map<_, _> = kept.filter(|(_, value)| !value.is_null()).collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        Some(other) => other.clone(),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zastava_common::config;

    use super::*;

    fn admission() -> Admission {
        config::parse("f", "zastava: {admission: {failOpenNamespaces: [dev, test]}}").unwrap().admission
    }

    /// As the API server keeps what it was told: with its defaults and the authority.
    fn live() -> Value {
        let mut live: Value = serde_saphyr::from_str(&webhooks(&admission(), "zastava")).unwrap();
        for entry in live["webhooks"].as_array_mut().unwrap() {
            entry["objectSelector"] = json!({});
            entry["clientConfig"]["caBundle"] = json!("QQ==");
        }
        live
    }

    fn told(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut live = live();
        change(&mut live);
        differences(&admission(), "zastava", &live).unwrap()
    }

    #[test]
    fn defaults_and_order_are_no_difference() {
        assert_eq!(told(|_| {}), [""; 0]);
        let reordered = |live: &mut Value| {
            let entries = live["webhooks"].as_array_mut().unwrap();
            entries.reverse();
            entries[0]["namespaceSelector"]["matchExpressions"][0]["values"] = json!(["test", "dev"]);
            entries[1]["rules"].as_array_mut().unwrap().reverse();
        };
        assert_eq!(told(reordered), [""; 0]);
    }

    #[test]
    fn what_lets_something_pass_is_told() {
        let closed =
            |field: &'static str, value: Value| move |live: &mut Value| live["webhooks"][0][field] = value;
        assert_eq!(
            told(closed("failurePolicy", json!("Ignore"))),
            ["closed.admission.zastava: failurePolicy is \"Ignore\" instead of \"Fail\""]
        );
        assert_eq!(
            told(closed("timeoutSeconds", json!(30))),
            ["closed.admission.zastava: timeoutSeconds is 30 instead of 10"]
        );
        for (field, value) in [
            ("objectSelector", json!({ "matchLabels": { "checked": "yes" } })),
            ("matchConditions", json!([{ "name": "a", "expression": "false" }])),
            ("namespaceSelector", json!({})),
            ("rules", json!([])),
        ] {
            let told = told(closed(field, value));
            assert!(told.len() == 1 && told[0].contains(field), "{told:?}");
        }
        let elsewhere =
            |live: &mut Value| live["webhooks"][0]["clientConfig"]["service"]["namespace"] = json!("x");
        assert_eq!(told(elsewhere).len(), 1);
        let lost = |live: &mut Value| drop(live["webhooks"].as_array_mut().unwrap().remove(0));
        assert_eq!(told(lost), ["closed.admission.zastava is not there"]);
        let more = |live: &mut Value| {
            let mut more = live["webhooks"][1].clone();
            more["name"] = json!("more.admission.zastava");
            live["webhooks"].as_array_mut().unwrap().push(more);
        };
        assert_eq!(told(more), ["more.admission.zastava is there, which no namespace needs"]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let told = told(|live| {
            let entry = json!({ "name": "x".repeat(10_000) });
            live["webhooks"].as_array_mut().unwrap().extend(vec![entry; 100]);
        });
        assert!(told.len() == MOST && told.iter().all(|text| text.chars().count() <= LONGEST));
    }
}
