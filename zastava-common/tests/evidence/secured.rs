//! A registry behind TLS of a private authority and a password, at a private address.

use std::fs;

use zastava_common::evidence::{
    Fault, Source,
    registry::{Credentials, Endpoint, PullSecrets, Registry, RegistryConfig},
};

use crate::{
    lab::{DockerRegistry, signed_by, skopeo},
    made::{any, key, made},
};

/// How it is spoken to where all is well.
fn endpoint(registry: &DockerRegistry) -> Endpoint {
    Endpoint {
        private: true,
        authorities: vec![fs::read(registry.folder().join("ca.der")).unwrap()],
        credentials: Some(Credentials { username: "user".into(), password: "word".into() }),
        ..Endpoint::new(registry.host.parse().unwrap())
    }
}

fn source(endpoint: Endpoint) -> Source {
    let registries = vec![Registry::new(endpoint.host.clone(), vec![endpoint])];
    Source::new(&RegistryConfig { registries, ..RegistryConfig::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_is_read_with_its_authority_and_its_password() {
    let registry = DockerRegistry::start_secured();
    let folder = registry.folder().display().to_string();
    let how = ["--dest-cert-dir", folder.as_str(), "--dest-creds", "user:word"];
    skopeo("app", &format!("{}/team/app:1", registry.host), &how);
    let image = format!("{}/team/app:1", registry.host).parse().unwrap();
    let none = PullSecrets::default();

    let all = source(endpoint(&registry));
    let digest = all.resolve(&image, &none).await.unwrap();
    assert_eq!(&digest, made().digest("app"));
    let wanted = signed_by(any(vec![key("p256")]));
    assert_eq!(all.gather(&image, &digest, &wanted, &none).await.unwrap().digest, digest);

    let stranger = source(Endpoint { authorities: Vec::new(), ..endpoint(&registry) });
    let fault = stranger.resolve(&image, &none).await.unwrap_err();
    assert!(matches!(fault, Fault::Tls { .. }), "{fault}");

    let public = source(Endpoint { private: false, ..endpoint(&registry) });
    let fault = public.resolve(&image, &none).await.unwrap_err();
    assert!(matches!(fault, Fault::AddressRefused { .. }), "{fault}");

    let nobody = source(Endpoint { credentials: None, ..endpoint(&registry) });
    let fault = nobody.resolve(&image, &none).await.unwrap_err();
    assert!(matches!(fault, Fault::Denied { status: 401, .. }), "{fault}");
    let mut secrets = PullSecrets::default();
    let secret = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjp3b3Jk"}}}}}}"#, registry.host);
    secrets.add(secret.as_bytes()).unwrap();
    assert_eq!(nobody.resolve(&image, &secrets).await.as_ref(), Ok(&digest));
}
