use std::time::Duration;

use super::accepted;
use crate::{
    abi::Tier,
    config::{Config, Engine, Mode, Namespace, TierChoice, Token},
};

/// Section 10 of the advisory, as it stands there.
const ADVISORY: &str = include_str!("advisory.yaml");

#[test]
fn the_advisorys_configuration_loads_as_it_stands() {
    let config = accepted(ADVISORY);

    assert_eq!(config.mode, Mode { observer: true, webhook: true });
    let backend = config.backend.unwrap();
    assert_eq!(backend.base_address.as_uri().host(), Some("scanner-web.internal"));
    assert_eq!(backend.policy_path.as_str(), "/api/v1/scanner/policy/runtime");
    assert_eq!(backend.request_timeout_seconds.seconds(), Duration::from_secs(5));
    let authority = config.runtime.authority.unwrap();
    assert_eq!(authority.issuer.as_uri().host(), Some("authority.internal"));
    assert_eq!(authority.client_id.as_str(), "zastava-observer");
    assert_eq!(authority.audience.iter().map(Token::as_str).collect::<Vec<_>>(), ["scanner", "zastava"]);
    assert_eq!(authority.scopes[0].as_str(), "api:scanner.runtime.write");
    assert!(authority.require_dpop && authority.require_mutual_tls);
    assert_eq!(config.runtime.tenant.as_str(), "acme-corp");
    assert_eq!(config.runtime.engine, Engine::Auto);
    assert_eq!(config.runtime.procfs.as_path().to_str(), Some("/host/proc"));
    assert!(config.runtime.collect.entry_trace && config.runtime.collect.loaded_libs);
    assert_eq!(config.runtime.collect.max_libs.get(), 256);
    assert_eq!(config.runtime.collect.max_hash_bytes_per_container.get(), 64_000_000);
    assert!(config.admission.enforce && config.admission.verify.scanner_policy_pass);
    let open: Vec<_> = config.admission.fail_open_namespaces.iter().map(Namespace::as_str).collect();
    assert_eq!(open, ["dev", "test"]);
    assert_eq!(config.admission.cache_ttl_seconds.get(), 300);
    assert_eq!(config.limits.events_per_second.get(), 50);
    assert_eq!(config.limits.burst.get(), 200);
    assert_eq!(config.limits.per_node_queue.entries(), 10_000);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = accepted("zastava: {}");

    assert_eq!(config, Config::default());
    assert_eq!(config.sensor.rings.process_bytes.get(), 2 << 20);
    assert_eq!(config.sensor.rings.files_bytes.get(), 4 << 20);
    assert_eq!(config.sensor.flush_interval_ms.milliseconds(), Duration::from_millis(20));
    assert_eq!(config.sensor.tier.tier(), None);
    assert_eq!(config.sensor.metrics_address.get().to_string(), "127.0.0.1:9464");
    assert_eq!(config.sensor.watch_socket.as_path().to_str(), Some("/run/zastava/sensor.sock"));
}

#[test]
fn every_default_may_also_stand_in_a_file() {
    let written = serde_json::to_string(&serde_json::json!({ "zastava": Config::default() })).unwrap();

    assert_eq!(accepted(&written), Config::default());

    let least = "zastava: {backend: {baseAddress: https://a}, \
                 runtime: {authority: {issuer: https://b, clientId: c}}}";
    let written = serde_json::to_string(&serde_json::json!({ "zastava": accepted(least) })).unwrap();
    assert_eq!(accepted(&written), accepted(least));
}

#[test]
fn every_tier_has_its_name() {
    for tier in Tier::ALL {
        let config = accepted(&format!("zastava: {{sensor: {{tier: {}}}}}", tier.name()));
        assert_eq!(config.sensor.tier.tier(), Some(tier));
    }
    assert_eq!(accepted("zastava: {sensor: {tier: auto}}").sensor.tier, TierChoice::Auto);
}
