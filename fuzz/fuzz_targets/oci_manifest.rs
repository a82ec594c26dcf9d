//! Any bytes are a manifest, an index, a configuration, or refused; none is two of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_common::evidence::manifest::{ImageConfig, Index, Manifest};

fuzz_target!(|bytes: &[u8]| {
    let image = Manifest::parse(bytes, Some("application/vnd.oci.image.manifest.v1+json"));
    let index = Manifest::parse(bytes, Some("application/vnd.oci.image.index.v1+json"));
    assert!(image.is_err() || index.is_err());
    if let Ok(Manifest::Index(index)) = &index {
        assert!(index.images().all(|image| image.attests().is_none()));
        assert!(Index::parse_referrers(bytes).is_ok());
    }
    let _ = ImageConfig::parse(bytes);
});
