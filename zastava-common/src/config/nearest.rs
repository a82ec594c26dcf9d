//! Which of the known words was probably meant.

/// The known word nearest to what was written, if one is near enough to be meant.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if written.len() > LONGEST {
        return None;
    }
    let written = written.to_lowercase();
    known
        .iter()
        .map(|word| (distance(&written, &word.to_lowercase()), *word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other
/// (Damerau and Levenshtein, in its "optimal string alignment" form).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 0..from.len() {
        let mut current = vec![row + 1; to.len() + 1];
        for column in 0..to.len() {
            let changed = usize::from(from[row] != to[column]);
            let mut best = (above[column + 1] + 1).min(current[column] + 1).min(above[column] + changed);
            if row > 0 && column > 0 && from[row] == to[column - 1] && from[row - 1] == to[column] {
                best = best.min(before[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn swaps_count_once() {
        assert_eq!(distance("tier", "teir"), 1);
        assert_eq!(distance("maxLibs", "maxLib"), 1);
        assert_eq!(distance("", "burst"), 5);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn another_case_is_near_and_another_word_is_not() {
        assert_eq!(nearest("max_libs", &["entryTrace", "loadedLibs", "maxLibs"]), Some("maxLibs"));
        assert_eq!(nearest("flushintervalms", &["flushIntervalMs", "tier"]), Some("flushIntervalMs"));
        assert_eq!(nearest("colour", &["tier", "rings"]), None);
        assert_eq!(nearest(&"t".repeat(65), &["tier"]), None);
        assert_eq!(nearest("anything", &[]), None);
    }
}
