//! Reason codes: words that stay, for dashboards, audit logs and tests. What each means and what would fix it stands
//! here once, and from here in docs/webhook/reasons.md.

use zastava_common::evidence;

/// What a finding is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Criterion {
    /// The question as it came.
    Request,
    /// The reference itself.
    Reference,
    RegistryAllowlist,
    TagBans,
    ImageSignature,
    Sbom,
    PolicyVerdict,
    BaseImage,
    /// What registries hold could not be had.
    Evidence,
}

impl Criterion {
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reference => "reference",
            Self::RegistryAllowlist => "registry_allowlist",
            Self::TagBans => "tag_bans",
            Self::ImageSignature => "image_signature",
            Self::Sbom => "sbom",
            Self::PolicyVerdict => "policy_verdict",
            Self::BaseImage => "base_image",
            Self::Evidence => "evidence",
        }
    }
}

/// One row per reason: variant, code, what it says of an image, what would fix it.
macro_rules! reasons {
    ($($variant:ident $code:literal $means:literal $fix:literal;)+) => {
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($variant,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that stays.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// What it means, in a sentence.
            pub fn means(self) -> &'static str {
                match self {
                    $(Self::$variant => $means,)+
                }
            }

            /// What would fix it.
            pub fn fix(self) -> &'static str {
                match self {
                    $(Self::$variant => $fix,)+
                }
            }
        }
    };
}

reasons! {
    ReviewTooLarge "review_too_large"
        "The API server sends more of the object than is read, so that nothing in it was looked at."
        "make the object smaller; each `<`, `>`, `&` and control character in it counts six times";
    ReviewUnreadable "review_unreadable"
        "The object is not as Kubernetes writes it."
        "report it with the API server's version";
    ReviewSlow "review_slow"
        "The API server's question did not come in time."
        "try again; make the object smaller if it is a large one";
    WebhookBusy "webhook_busy"
        "Too much of other questions is in the webhook's memory."
        "try again; make the object smaller if it is a large one";
    ReferenceInvalid "reference_invalid"
        "The text is no image reference."
        "write it as registry/path:tag or registry/path@digest";
    TooManyImages "too_many_images"
        "The object has more images than are looked at."
        "split it into several objects";
    RegistryDenied "registry_denied"
        "The image's registry or repository is not in the allowlist."
        "use an image from an allowed registry, or add its place to registryAllowlist";
    TagDenied "tag_denied"
        "The tag is one that is refused."
        "name a tag that does not move, or a digest";
    Untagged "untagged"
        "There is neither tag nor digest, so that runtimes take `latest`."
        "name a tag, or a digest";
    DigestRequired "digest_required"
        "There is no digest, and one is asked for."
        "pin the image by digest, as registry/path@sha256:... with all its digits";
    Unsigned "unsigned"
        "There is no signature for the image."
        "sign the image's digest with a configured key or identity and push the signature beside it";
    FormatUnsupported "format_unsupported"
        "What is there is no signature in a form that is read."
        "sign with cosign 2 or 3 or another tool that writes Sigstore bundles; a rule may also refuse `.sig` tags";
    WrongPredicate "wrong_predicate"
        "What was signed is a statement about the image, not the image: an attestation is no signature."
        "sign the image itself, beside attesting to it";
    SignatureInvalid "signature_invalid"
        "There is a signature, and it does not hold for this image."
        "sign this very digest anew; if nobody moved images by hand, look who writes to the repository";
    KeyMismatch "key_mismatch"
        "The image is signed with another key."
        "sign with the configured key, or add the one that signs to zastava.admission.verifiers";
    IdentityMismatch "identity_mismatch"
        "The image is signed by another identity."
        "sign as the configured identity, or put the one that signs into zastava.admission.verifiers";
    TimestampMissing "timestamp_missing"
        "Nothing proves when the image was signed, so a short-lived certificate proves nothing."
        "sign with an entry in a transparency log or with a timestamp authority";
    TlogMissing "tlog_missing"
        "The signature is in no transparency log, and the rule asks for that."
        "sign with --tlog-upload, or set requireLog to false for a key that signs without a log";
    SbomMissing "sbom_missing"
        "There is no SBOM for the image."
        "attach a CycloneDX or SPDX document to the image's digest";
    SbomUnbound "sbom_unbound"
        "The SBOM lies beside the image, and nothing binds it to it; or only an index names it that nobody signed."
        "build with BuildKit's SBOM attestation and sign the index, or sign the SBOM";
    SbomUnsigned "sbom_unsigned"
        "There is an SBOM, and none that a configured verifier signed."
        "attest the SBOM with a configured key or identity";
    VerdictFail "verdict_fail"
        "The backend's verdict is `fail`."
        "see the backend's reasons; rebuild the image without what it names";
    VerdictWarn "verdict_warn"
        "The backend's verdict is `warn`: the image is let through."
        "see the backend's reasons";
    VerdictUnknown "verdict_unknown"
        "The backend does not know the image."
        "have the backend scan it first";
    BackendUnavailable "backend_unavailable"
        "The backend could not be asked."
        "see whether it is up, and zastava_backend_failures_total";
    BaseUnknown "base_unknown"
        "What the image was built on cannot be proved."
        "build with signed provenance, or without squashing the base's layers";
    BaseDenied "base_denied"
        "The image was built on something that is not allowed."
        "build it on an allowed base, or add that base's digest to baseImages.allow";
    ImageNotFound "image_not_found"
        "The registry has no such image."
        "push it, or correct the reference; some registries answer so where credentials are missing";
    ImageUnsupported "image_unsupported"
        "The image is of a kind that is not read."
        "push it as an OCI or Docker (schema 2) image";
    RegistryAccess "registry_access"
        "The registry refuses access."
        "give the webhook credentials (registries), or have it use the pod's (pullSecrets); check those it has";
    RegistryRateLimited "registry_rate_limited"
        "The registry asks to wait."
        "try again later; credentials or a mirror raise the limit";
    RegistryFailing "registry_failing"
        "The registry answers with an error of its own."
        "see the registry's log; try again";
    RegistryUnreachable "registry_unreachable"
        "The registry cannot be reached."
        "see whether it is up, whether its name resolves, and whether the NetworkPolicy lets the webhook out";
    RegistryTls "registry_tls"
        "There is no trust in the registry's certificate."
        "give the registry's authority as caFile (registries)";
    RegistryTimeout "registry_timeout"
        "The registry did not answer in time."
        "try again: what was begun goes on and is remembered";
    RegistryTooMuch "registry_too_much"
        "The registry answers with more than is read."
        "remove what piled up beside the image, such as thousands of referrers";
    RegistryOtherContent "registry_other_content"
        "The registry gave other content than its digest says."
        "its storage is damaged or somebody changes it on the way: have that looked at";
    RegistryAddressRefused "registry_address_refused"
        "The registry is at a private or local address and is not configured to be there."
        "set private: true for it (registries) if it belongs there";
    RegistryRedirectRefused "registry_redirect_refused"
        "The registry sends the webhook somewhere it does not go."
        "see where it sends to; hosts at private addresses go into privateHosts";
    RegistryRealmRefused "registry_realm_refused"
        "The registry wants credentials sent somewhere they are not given to."
        "if that token server belongs to the registry, name it in tokenHosts (registries)";
    RegistryMalformed "registry_malformed"
        "The registry answers with something that cannot be read."
        "push the image anew; look at the registry's version";
    RegistryBusy "registry_busy"
        "Too many requests to the registry are under way."
        "try again; list the registry, or raise cache.maxLookups, if it happens often";
    PullSecret "pull_secret"
        "A pull secret that the pod names could not be read, or the registry does not take it."
        "see whether it is there, of type kubernetes.io/dockerconfigjson, still valid, and whether the webhook may read it";
    DeadlineExceeded "deadline_exceeded"
        "The answer could not be had before the API server would have given up."
        "try again: what was begun goes on and is remembered";
    LookUpPanicked "look_up_panicked"
        "What the registry or the backend gave made the webhook's reader fail, which is a fault of the webhook."
        "report it with the image's name; until then the image is refused";
}

impl From<evidence::Reason> for Reason {
    fn from(reason: evidence::Reason) -> Self {
        match reason {
            evidence::Reason::Unsigned => Self::Unsigned,
            evidence::Reason::FormatUnsupported => Self::FormatUnsupported,
            evidence::Reason::WrongPredicate => Self::WrongPredicate,
            evidence::Reason::SignatureInvalid => Self::SignatureInvalid,
            evidence::Reason::KeyMismatch => Self::KeyMismatch,
            evidence::Reason::IdentityMismatch => Self::IdentityMismatch,
            evidence::Reason::TimestampMissing => Self::TimestampMissing,
            evidence::Reason::TlogMissing => Self::TlogMissing,
        }
    }
}

impl From<&evidence::Fault> for Reason {
    fn from(fault: &evidence::Fault) -> Self {
        use evidence::Fault;
        match fault {
            Fault::NotFound { .. } => Self::ImageNotFound,
            Fault::Denied { .. } => Self::RegistryAccess,
            Fault::RateLimited { .. } => Self::RegistryRateLimited,
            Fault::Failing { .. } => Self::RegistryFailing,
            Fault::Unreachable { .. } => Self::RegistryUnreachable,
            Fault::Tls { .. } => Self::RegistryTls,
            Fault::Timeout { .. } => Self::RegistryTimeout,
            Fault::TooLarge { .. } | Fault::TooMany { .. } => Self::RegistryTooMuch,
            Fault::OtherContent { .. } => Self::RegistryOtherContent,
            Fault::AddressRefused { .. } => Self::RegistryAddressRefused,
            Fault::RedirectRefused { .. } => Self::RegistryRedirectRefused,
            Fault::RealmRefused { .. } => Self::RegistryRealmRefused,
            Fault::Malformed { .. } => Self::RegistryMalformed,
            Fault::Unsupported { .. } => Self::ImageUnsupported,
            Fault::Busy { .. } => Self::RegistryBusy,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fmt::Write as _, fs, path::Path};

    use super::Reason;

    const BEGIN: &str = "<!-- reasons: begin (generated) -->\n";
    const END: &str = "<!-- reasons: end -->";

    #[test]
    fn every_reason_is_in_the_documentation() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/webhook/reasons.md");
        let text = fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let mut table = "| code | meaning | what would fix it |\n| --- | --- | --- |\n".to_owned();
        for reason in Reason::ALL {
            writeln!(table, "| `{}` | {} | {} |", reason.code(), reason.means(), reason.fix()).unwrap();
        }
        let wanted = format!("{before}{BEGIN}{table}{END}{after}");
        if env::var_os("ZASTAVA_BLESS").is_some() {
            fs::write(&file, &wanted).unwrap();
        } else {
            assert!(text == wanted, "run `ZASTAVA_BLESS=1 cargo test -p zastava-webhook reason`");
        }
    }
}
