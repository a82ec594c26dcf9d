//! Metric names: the advisory's (section 12) and ours.
