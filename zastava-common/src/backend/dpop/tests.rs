use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{Occasion, ProofKey, thumbprint, token_hash};

#[test]
fn the_examples_of_rfc_9449_come_out() {
    // Section 6.1 for the key of section 4.1, and section 7.1.
    let jkt = thumbprint(
        "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    );
    assert_eq!(jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let ath = token_hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    assert_eq!(ath, "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

fn parts(proof: &str) -> (Value, Value, String, Vec<u8>) {
    let parts: Vec<&str> = proof.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{proof}") };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
    (json(header), json(claims), format!("{header}.{claims}"), decode(signature))
}

#[test]
fn a_proof_holds_what_is_asked_for_and_is_signed_by_the_key_in_it() {
    let key = ProofKey::generate().unwrap();
    let url = "https://backend.test/policy";
    let occasion = Occasion { method: "POST", url, now: 1_700_000_000, nonce: Some("n"), token: Some("t") };
    let (header, claims, signed, signature) = parts(&key.proof(occasion).unwrap());
    assert_eq!((&header["typ"], &header["alg"]), (&"dpop+jwt".into(), &"ES256".into()));
    assert_eq!(header["jwk"].get("d"), None, "the public key alone");
    assert_eq!((&claims["htm"], &claims["htu"]), (&"POST".into(), &url.into()));
    assert_eq!((&claims["iat"], &claims["nonce"]), (&1_700_000_000.into(), &"n".into()));
    assert_eq!(claims["ath"], token_hash("t"));
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(header["jwk"][name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(signed.as_bytes(), &signature).unwrap();
}

#[test]
fn no_two_proofs_are_alike_and_what_is_not_asked_for_is_not_in_them() {
    let key = ProofKey::generate().unwrap();
    let occasion = Occasion { method: "GET", url: "https://backend.test/", now: 0, nonce: None, token: None };
    let (_, one, ..) = parts(&key.proof(occasion).unwrap());
    let (_, two, ..) = parts(&key.proof(occasion).unwrap());
    assert_ne!(one["jti"], two["jti"]);
    assert!(one.get("nonce").is_none() && one.get("ath").is_none());
}
