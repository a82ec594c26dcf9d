//! What is compiled: one crypto provider, one copy of what is large.

/// Crates that must not come in, not even by way of another, and why.
const REFUSED: [(&str, &str); 5] = [
    ("ring", "the one crypto provider is aws-lc-rs: two of them panic at run time"),
    ("openssl-sys", "the one crypto provider is aws-lc-rs"),
    ("native-tls", "TLS is rustls on aws-lc-rs"),
    ("reqwest", "it reads bodies without a bound; hyper-util is in the tree already"),
    ("rsa", "the one crypto provider is aws-lc-rs"),
];

/// Crates of which a second version would cost size, or make two types that look the same.
const SINGLE: [&str; 12] = [
    "aya",
    "hyper",
    "k8s-openapi",
    "kube",
    "object",
    "prost",
    "rustls",
    "sigstore-verify",
    "tokio",
    "tokio-rustls",
    "tonic",
    "zstd",
];

/// What is wrong with the lock file, and with `tree`: a line for each crate that is compiled on any target. A crate that
/// is locked and not compiled does no harm: a weak feature (`ring?/alloc`) locks what it does not switch on.
pub(super) fn check(lock: &str, tree: &str) -> Vec<String> {
    let compiled: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let refused = REFUSED.iter().filter(|(name, _)| compiled.contains(name));
    let refused = refused.map(|(name, why)| {
        format!("{name} is compiled: {why}; `cargo tree --target all -i {name}` says who")
    });
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let twice = SINGLE.iter().filter(|single| names.iter().filter(|name| name == single).count() > 1);
    let twice = twice.map(|name| format!("Cargo.lock has more than one {name}: `cargo tree -d` says why"));
    refused.chain(twice).collect()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_second_crypto_provider_and_a_second_copy_are_told() {
        let lock = "[[package]]\nname = \"ring\"\nversion = \"0.17.0\"\n\n[[package]]\nname = \"object\"\nversion = \"0.39.0\"\n\n\
                    [[package]]\nname = \"object\"\nversion = \"0.40.0\"\ndependencies = [\n \"tonic\",\n]\n";
        let told = check(lock, "object v0.39.0\nring v0.17.0\nstring v1.0.0\n");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("ring") && told[1].contains("object"));
        assert!(check("[[package]]\nname = \"object\"\n", "object v0.39.0\n").is_empty());
    }

    #[test]
    fn what_is_locked_and_not_compiled_does_no_harm() {
        assert!(check("[[package]]\nname = \"ring\"\n", "rustls v0.23.0\n").is_empty());
    }
}
