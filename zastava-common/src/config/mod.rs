//! Configuration: the advisory's YAML (section 10), checked before use.
