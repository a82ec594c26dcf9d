//! `zastava-webhook test`: the same decision, about a file. A CI job and the cluster agree; where the cluster would read
//! pull secrets to decide, there is no answer here.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use comfy_table::{Table, presets::NOTHING};
use serde_json::{Value, json};

use super::{
    REFUSED, USAGE, fail,
    log::{self, Form as LogForm},
};
use crate::{
    assemble::Assembled,
    criteria::Grade,
    decision::{Answer, Decision},
    engine::Outcome,
    images::{Found, find},
    policy::Disk,
    reason::Reason,
    review::{self, API_VERSION, KIND, MAX_BODY_BYTES},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  everything would be let through, perhaps with warnings
  1  something would be refused
  2  there is no answer: a file cannot be read or used, a registry wants the pull secrets that the
     cluster alone has, or the report cannot be written";

/// Objects of one run.
const MAX_OBJECTS: usize = 10_000;

/// Say what the webhook would answer about manifests.
///
/// Controllers (Deployment, Job, ...) are judged as the pods that they would make.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct TestArgs {
    /// Configuration of the webhook
    #[arg(long, value_name = "FILE", env = "ZASTAVA_CONFIG")]
    config: PathBuf,
    /// Manifests in YAML or JSON, lists of them, or recorded AdmissionReviews; `-` reads the standard input
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "table")]
    output: Form,
    /// How long one object may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Judge controllers as the webhook does when they are created themselves: with a warning, as a rule
    #[arg(long)]
    as_sent: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    Table,
    Json,
}

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file} is larger than {MAX_BODY_BYTES} bytes, which no manifest is")]
    TooLarge { file: String },
    #[error("{file} is neither YAML nor JSON: {why}")]
    Syntax { file: String, why: String },
    #[error("{file} has more than {MAX_OBJECTS} objects")]
    TooMany { file: String },
    #[error("{file}: {what}: {why}")]
    Object { file: String, what: String, why: String },
}

pub(super) fn run(arguments: &TestArgs) -> ExitCode {
    if let Err(error) = log::start(LogForm::Pretty, "warn") {
        return fail(USAGE, &error);
    }
    let assembled = match Assembled::load(&arguments.config, &Disk, None) {
        Ok(assembled) => assembled,
        Err(error) => return fail(USAGE, &error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(USAGE, &error),
    };
    let reports = match runtime.block_on(judge(&assembled, arguments)) {
        Ok(reports) => reports,
        Err(error) => return fail(USAGE, &error),
    };
    let mut out = io::stdout().lock();
    let written = match arguments.output {
        Form::Table => table(&reports, &mut out),
        Form::Json => lines(&reports, &mut out),
    };
    if let Err(error) = written {
        return fail(USAGE, &format!("cannot write: {error}"));
    }
    let refused =
        reports.iter().any(|report| matches!(&report.answer, Some(decision) if !decision.answer.allows()));
    if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
}

/// About one object.
struct Report {
    file: String,
    /// `Deployment shop/web`.
    object: String,
    /// `None`: it has no images, or none that are asked about.
    answer: Option<Decision>,
}

async fn judge(assembled: &Assembled, arguments: &TestArgs) -> Result<Vec<Report>, TestError> {
    let mut reports = Vec::new();
    for path in &arguments.manifests {
        let file = path.display().to_string();
        for object in objects(path, &file)? {
            let review = as_review(object, &arguments.namespace);
            let request = &review["request"];
            let what = format!(
                "{} {}/{}",
                request["kind"]["kind"].as_str().unwrap_or("object"),
                request["namespace"].as_str().unwrap_or_default(),
                request["name"].as_str().unwrap_or_default()
            );
            let body = review.to_string();
            let answer = decide(assembled, body.as_bytes(), arguments)
                .await
                .map_err(|why| TestError::Object { file: file.clone(), what: what.clone(), why })?;
            reports.push(Report { file: file.clone(), object: what, answer });
        }
    }
    Ok(reports)
}

async fn decide(
    Assembled { config, engine, .. }: &Assembled,
    body: &[u8],
    arguments: &TestArgs,
) -> Result<Option<Decision>, String> {
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    let request = review::parse(body).map_err(|error| error.to_string())?;
    let mut workload = match find(&request).map_err(|error| error.to_string())? {
        Found::Nothing(_) => return Ok(None),
        Found::Workload(workload) => workload,
    };
    let outcome = if arguments.as_sent {
        engine.admit(&workload, &request.namespace, deadline).await
    } else {
        workload.is_pod = true;
        let rules = engine.policy().rules(&request.namespace);
        engine.judge(&workload, &request.namespace, rules, deadline).await
    };
    let decision = match outcome {
        Outcome::Nothing(_) | Outcome::Ignored => return Ok(None),
        Outcome::Decided { decision, .. } => decision,
    };
    let reads_secrets = config.admission.pull_secrets && !workload.pull_secrets.is_empty();
    match for_want_of_a_secret(&decision).filter(|_| reads_secrets) {
        Some(detail) => Err(format!(
            "{detail}; the cluster would read the pull secrets {}, which are not to be had here: give the registry's entry \
             in the configuration (registries) credentials",
            workload.pull_secrets.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        )),
        None => Ok(Some(decision)),
    }
}

/// What a pull secret could make go away, where nothing else is a refusal. Some registries say that an image is not there
/// where they should refuse access.
fn for_want_of_a_secret(decision: &Decision) -> Option<&str> {
    let mut refusals =
        decision.findings().map(|(_, finding)| finding).filter(|finding| finding.grade == Grade::Deny);
    let wants = |finding: &crate::criteria::Finding| {
        matches!(finding.reason, Reason::RegistryAccess | Reason::ImageNotFound)
    };
    let first = refusals.next().filter(|first| wants(first))?;
    refusals.all(wants).then_some(first.detail.as_str())
}

/// Every object of a file: documents of YAML, and items of lists.
fn objects(path: &PathBuf, file: &str) -> Result<Vec<Value>, TestError> {
    let mut text = String::new();
    let limit = MAX_BODY_BYTES as u64 + 1;
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|source| TestError::Read { file: file.to_owned(), source })?;
    if text.len() > MAX_BODY_BYTES {
        return Err(TestError::TooLarge { file: file.to_owned() });
    }
    let syntax = |why: String| TestError::Syntax { file: file.to_owned(), why };
    // JSON first: the reader of YAML has bounds that a recorded request with a managed object may reach.
    let documents: Vec<Value> = match serde_json::from_str(&text) {
        Ok(value) => vec![value],
        Err(error) if text.trim_start().starts_with('{') => return Err(syntax(error.to_string())),
        Err(_) => serde_saphyr::from_multiple(&text).map_err(|error| syntax(error.to_string()))?,
    };
    let mut objects = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        match document {
            Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
        if objects.len() > MAX_OBJECTS {
            return Err(TestError::TooMany { file: file.to_owned() });
        }
    }
    Ok(objects)
}

/// As the API server would ask when the object is created; a recorded request stays as it is.
fn as_review(object: Value, namespace: &str) -> Value {
    if object["kind"] == KIND {
        return object;
    }
    let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), object["apiVersion"].as_str().unwrap_or_default().to_owned()),
    };
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or(namespace).to_owned();
    let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default().to_owned();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    json!({
        "apiVersion": API_VERSION, "kind": KIND,
        "request": {
            "uid": "test", "operation": "CREATE", "namespace": namespace, "name": name, "dryRun": true,
            "kind": { "group": group, "version": version, "kind": kind },
            "userInfo": { "username": "zastava-webhook-test" }, "object": object,
        }
    })
}

fn table(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["OBJECT", "ANSWER", "FIELD", "IMAGE", "REASON"]);
    for Report { object, answer, .. } in reports {
        let Some(decision) = answer else {
            table.add_row([object, Answer::Allow.name(), "", "", "nothing to look at"]);
            continue;
        };
        for judged in &decision.images {
            let field = judged.image.fields.first().map(ToString::to_string).unwrap_or_default();
            let reasons: Vec<_> = judged.findings.iter().map(|finding| finding.reason.code()).collect();
            let reasons = if reasons.is_empty() { "ok".to_owned() } else { reasons.join(" ") };
            let reference = judged.image.reference.escape_debug().to_string();
            table.add_row([object.as_str(), decision.answer.name(), &field, &reference, &reasons]);
        }
        if let Some(finding) = &decision.general {
            table.add_row([object.as_str(), decision.answer.name(), "", "", finding.reason.code()]);
        }
    }
    for line in table.to_string().lines() {
        writeln!(out, "{}", line.trim())?;
    }
    let mut told = false;
    for Report { file, object, answer } in reports {
        let Some(decision) = answer else { continue };
        for (judged, finding) in decision.findings() {
            if !told {
                writeln!(out)?;
                told = true;
            }
            let image = judged.map_or_else(String::new, |judged| format!(" {:?}", judged.image.reference));
            writeln!(out, "{file}: {object}:{image}: {}: {}", finding.reason.code(), finding.detail)?;
            writeln!(out, "  to fix it: {}", finding.reason.fix())?;
        }
    }
    out.flush()
}

/// One JSON object per object of the manifests.
fn lines(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    for Report { file, object, answer } in reports {
        let line = match answer {
            None => json!({ "file": file, "object": object, "answer": Answer::Allow.name(), "images": [] }),
            Some(decision) => {
                let images = decision.images.iter().map(|judged| {
                    json!({
                        "reference": judged.image.reference,
                        "digest": judged.digest.as_ref().map(ToString::to_string),
                        "fields": judged.image.fields.iter().map(ToString::to_string).collect::<Vec<_>>(),
                        "findings": judged.findings.iter().map(finding).collect::<Vec<_>>(),
                    })
                });
                json!({
                    "file": file, "object": object, "answer": decision.answer.name(),
                    "images": images.collect::<Vec<_>>(),
                    "findings": decision.general.iter().map(finding).collect::<Vec<_>>(),
                })
            }
        };
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn finding(finding: &crate::criteria::Finding) -> Value {
    json!({
        "criterion": finding.criterion.name(), "reason": finding.reason.code(), "detail": finding.detail,
        "fix": finding.reason.fix(),
    })
}
