use insta::assert_snapshot;

use super::error;
use crate::config::{Fault, What, Written};

#[test]
fn an_unknown_key_is_named_at_each_level() {
    assert_snapshot!(error("zastva: {}"), @r"
    zastava.yaml:1:1: unknown key zastva
      did you mean `zastava`?
      allowed: zastava
    ");
    assert_snapshot!(error("zastava:\n  runtme: {}"), @r"
    zastava.yaml:2:3: unknown key zastava.runtme
      did you mean `runtime`?
      allowed: admission, backend, limits, mode, runtime, sensor
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    teir: auto"), @r"
    zastava.yaml:3:5: unknown key zastava.sensor.teir
      did you mean `tier`?
      allowed: cgroupRoot, containers, fileCacheEntries, firstSeenEntries, flushIntervalMs, hashBytesPerSecond, lossEntries, maxHashFileBytes, maxWatchers, metricsAddress, processTableEntries, rings, tier, watchQueue, watchSocket
    ");
    assert_snapshot!(error("zastava:\n  runtime:\n    collect:\n      maxLib: 5"), @r"
    zastava.yaml:4:7: unknown key zastava.runtime.collect.maxLib
      did you mean `maxLibs`?
      allowed: entryTrace, loadedLibs, maxHashBytesPerContainer, maxLibs
    ");
    assert_snapshot!(error("zastava:\n  runtime:\n    authority:\n      secret: hunter2"), @r"
    zastava.yaml:4:7: unknown key zastava.runtime.authority.secret
      allowed: audience, clientId, clientSecretFile, issuer, requireDpop, requireMutualTls, scopes
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    rings: {process_bytes: 4096}"), @r"
    zastava.yaml:3:13: unknown key zastava.sensor.rings.process_bytes
      did you mean `processBytes`?
      allowed: filesBytes, processBytes
    ");
}

#[test]
fn a_known_key_in_the_wrong_section_is_told_where_it_belongs() {
    assert_snapshot!(error("zastava:\n  runtime:\n    maxLibs: 5"), @r"
    zastava.yaml:3:5: unknown key zastava.runtime.maxLibs
      a key of that name belongs to zastava.runtime.collect
      allowed: annotations, authority, collect, engine, kubernetesApi, labels, procfs, sockets, tenant
    ");
    assert_snapshot!(error("tenant: acme"), @r"
    zastava.yaml:1:1: unknown key tenant
      a key of that name belongs to zastava.runtime
      allowed: zastava
    ");
}

#[test]
fn a_wrong_type_says_what_is_allowed() {
    assert_snapshot!(error("zastava:\n  limits:\n    burst: many"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: a text
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst: '5'"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: a text
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst: 1.5"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: 1.5
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst: 0200"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: a text
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst:"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: nothing
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst: [5]"), @r"
    zastava.yaml:3:5: wrong type for zastava.limits.burst: a list
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  limits: 5"), @r"
    zastava.yaml:2:11: wrong type for zastava.limits: no section
      allowed: keys, each with its value; leave the section out to have its defaults
    ");
    assert_snapshot!(error("zastava:\n  backend:"), @r"
    zastava.yaml:2:10: wrong type for zastava.backend: no section
      allowed: keys, each with its value; leave the section out to have its defaults
    ");
    assert_snapshot!(error("zastava:\n  mode:\n    observer: yes"), @r"
    zastava.yaml:3:15: wrong type for zastava.mode.observer: neither true nor false
      allowed: true or false
    ");
    assert_snapshot!(error("zastava:\n  mode:\n    observer: [true]"), @r"
    zastava.yaml:3:15: wrong type for zastava.mode.observer: a list or a section
      allowed: a single word
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    tier: {kprobe: 1}"), @r"
    zastava.yaml:3:20: wrong type for zastava.sensor.tier: a list or a section
      allowed: a single word
    ");
    assert_snapshot!(error("zastava:\n  runtime:\n    tenant: 5"), @r"
    zastava.yaml:3:5: wrong type for zastava.runtime.tenant: a number, which in quotes would be a text
      allowed: 1 to 128 letters, digits, dots, dashes and underscores
    ");
    assert_snapshot!(error("zastava:\n  runtime:\n    tenant: true"), @r"
    zastava.yaml:3:5: wrong type for zastava.runtime.tenant: a truth value, which in quotes would be a text
      allowed: 1 to 128 letters, digits, dots, dashes and underscores
    ");
    assert_snapshot!(error("zastava:\n  admission:\n    failOpenNamespaces: dev"), @r"
    zastava.yaml:3:25: wrong type for zastava.admission.failOpenNamespaces: no list
      allowed: a list, such as [one, two]
    ");
}

#[test]
fn a_value_out_of_range_says_the_range() {
    assert_snapshot!(error("zastava:\n  limits:\n    burst: 0"), @r"
    zastava.yaml:3:5: not allowed for zastava.limits.burst: 0
      allowed: a whole number from 1 to 1000000
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    flushIntervalMs: -5"), @r"
    zastava.yaml:3:5: not allowed for zastava.sensor.flushIntervalMs: -5
      allowed: a whole number from 1 to 1000
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    rings:\n      processBytes: 5000"), @r"
    zastava.yaml:4:7: not allowed for zastava.sensor.rings.processBytes: 5000
      allowed: a power of two from 4096 to 1073741824
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    tier: kprobes"), @r"
    zastava.yaml:3:11: not allowed for zastava.sensor.tier: kprobes
      did you mean `kprobe`?
      allowed: auto, kprobe, sideband, tracepoint, trampoline
    ");
    assert_snapshot!(error("zastava:\n  runtime:\n    engine:"), @r"
    zastava.yaml:3:11: not allowed for zastava.runtime.engine: nothing
      allowed: auto, containerd, cri-o, docker, none
    ");
    assert_snapshot!(error("zastava:\n  admission:\n    failOpenNamespaces: [dev, Test]"), @r"
    zastava.yaml:3:31: not allowed for zastava.admission.failOpenNamespaces[1]: a text of another form
      allowed: 1 to 63 lower-case letters, digits and dashes, not first or last a dash
    ");
    assert_snapshot!(error("zastava:\n  sensor:\n    metricsAddress: 9464"), @r"
    zastava.yaml:3:5: wrong type for zastava.sensor.metricsAddress: a number, which in quotes would be a text
      allowed: an address and a port such as 127.0.0.1:9464 or [::1]:9464
    ");
}

#[test]
fn a_missing_key_and_a_repeated_key_are_named() {
    assert_snapshot!(error("zastava:\n  backend:\n    policyPath: /a"), @"zastava.yaml:3:5: missing key zastava.backend.baseAddress");
    assert_snapshot!(error("zastava:\n  backend:\n    baseAddress: https://a.example\n    certificateFile: /a"), @r"
    zastava.yaml:2:3: missing key zastava.backend.keyFile
      allowed: certificateFile and keyFile together, or neither
    ");
    assert_snapshot!(error("zastava:\n  limits:\n    burst: 5\n    burst: 6"), @"zastava.yaml:4:5: key zastava.limits.burst stands here a second time");
    assert_snapshot!(error("zastava: {}\nzastava: {}"), @"zastava.yaml:2:1: key zastava stands here a second time");
}

#[test]
fn a_fault_that_shows_in_use_is_placed_where_its_key_stands_or_above_it() {
    let written = Written::new(
        "zastava.yaml",
        "zastava:\n  backend:\n    policyPath: /a\n    baseAddress: https://a.example\n",
    );
    let told = |key: &str| {
        let what = What::Unusable { why: "it is not there".to_owned() };
        written.invalid(Fault::new(format!("zastava.backend.{key}"), what).allowed("another")).to_string()
    };
    assert!(written.parse().is_ok());
    assert_snapshot!(told("baseAddress"), @r"
    zastava.yaml:4:5: cannot use zastava.backend.baseAddress: it is not there
      allowed: another
    ");
    assert_snapshot!(told("caFile"), @r"
    zastava.yaml:2:3: cannot use zastava.backend.caFile: it is not there
      allowed: another
    ");
}

#[test]
fn what_is_not_yaml_is_placed() {
    assert_snapshot!(error("zastava:\n\tlimits: {}"), @"zastava.yaml:2:2: not as YAML should be: tabs disallowed within this context (block indentation)");
    assert_snapshot!(error("zastava: {limits: {burst: 5}"), @"zastava.yaml:1:10: not as YAML should be, at zastava: unclosed bracket '{'");
    assert_snapshot!(error("zastava:\n  runtime:\n    tenant: *who"), @"zastava.yaml:3:13: not as YAML should be, at zastava.runtime: reference to unknown value");
    assert_snapshot!(error("zastava:\n  mode: &m {observer: true}\n  admission:\n    <<: *m"), @"zastava.yaml:4:5: not as YAML should be, at zastava.admission: merge key not allowed here");
    assert_snapshot!(error("zastava: {}\n---\nzastava: {}"), @"zastava.yaml:3:1: not as YAML should be: only single YAML document expected but multiple found");
    assert_snapshot!(error("zastava:\n  limits: !mine {burst: 5}"), @"zastava.yaml:2:17: not as YAML should be, at zastava: unsupported tag `!mine`");
}

#[test]
fn a_bomb_ends_at_a_bound() {
    let aliases = format!(
        "zastava: {{runtime: {{authority: {{issuer: https://a, clientId: &c b, scopes: [{}]}}}}}}",
        "*c,".repeat(100)
    );
    assert_snapshot!(error(&aliases), @"zastava.yaml:1:269: too deeply nested, or too many aliases");
    let lists =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    assert_snapshot!(error(&format!("{lists}zastava: *c")), @r"
    zastava.yaml:1:1: unknown key a
      allowed: zastava
    ");
    assert_snapshot!(error(&format!("zastava: {}", "[".repeat(100_000))), @r"
    zastava.yaml:1:10: wrong type for zastava: no section
      allowed: keys, each with its value; leave the section out to have its defaults
    ");
    assert_snapshot!(error(&format!("zastava:\n  limits: {{burst: {}", "{a: ".repeat(100_000))), @r"
    zastava.yaml:2:19: wrong type for zastava.limits.burst: a section
      allowed: a whole number from 1 to 1000000
    ");
}

#[test]
fn a_text_of_the_file_is_never_repeated() {
    let secret = "s3cr3t-p4ssw0rd";
    let places = [
        format!("zastava: {{backend: {{baseAddress: 'https://u:{secret}@a'}}}}"),
        format!("zastava: {{runtime: {{tenant: 'a {secret}'}}}}"),
        format!("zastava: {{runtime: {{authority: {{issuer: https://a, clientId: [{secret}]}}}}}}"),
        format!("zastava: {{limits: {{burst: {secret}}}}}"),
        format!("zastava: {{limits: {secret}}}"),
        format!("zastava: {{mode: {{observer: {secret}}}}}"),
        format!("zastava: {{runtime: {{password: {secret}}}}}"),
        format!("zastava: {{sensor: {{watchSocket: {secret}}}}}"),
        format!("zastava: {{sensor: {{watchSocket: '{secret}}}}}"),
        format!("zastava: !!int '{secret}'"),
    ];
    for text in places {
        let error = error(&text);
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn what_an_error_repeats_is_short_and_cannot_drive_a_terminal() {
    assert_snapshot!(error("zastava:\n  \"\\e[2J\\u0007\": 5"), @r"
    zastava.yaml:2:3: unknown key zastava.\u{1b}[2J\u{7}
      allowed: admission, backend, limits, mode, runtime, sensor
    ");
    assert!(error(&format!("zastava:\n  {}: 5", "k".repeat(900))).len() < 200);
}
