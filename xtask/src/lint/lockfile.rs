//! What may be in Cargo.lock: one crypto provider, one copy of what is large.

/// Crates that must not come in, not even by way of another, and why.
const REFUSED: [(&str, &str); 5] = [
    ("ring", "the one crypto provider is aws-lc-rs: two of them panic at run time"),
    ("openssl-sys", "the one crypto provider is aws-lc-rs"),
    ("native-tls", "TLS is rustls on aws-lc-rs"),
    ("reqwest", "it reads bodies without a bound; hyper-util is in the tree already"),
    ("rsa", "the one crypto provider is aws-lc-rs"),
];

/// Crates of which a second version would cost size, or make two types that look the same.
const SINGLE: [&str; 8] = ["aya", "hyper", "object", "prost", "rustls", "tokio", "tonic", "zstd"];

/// What is wrong with the lock file.
pub(super) fn check(lock: &str) -> Vec<String> {
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let refused = REFUSED.iter().filter(|(name, _)| names.contains(name));
    let refused =
        refused.map(|(name, why)| format!("Cargo.lock has {name}: {why}; `cargo tree -i {name}` says who"));
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
        let told = check(lock);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("ring") && told[1].contains("object"));
        assert!(check("[[package]]\nname = \"object\"\n").is_empty());
    }
}
