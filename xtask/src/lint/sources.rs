//! Rules for Rust files that the compiler does not know: their length, and where unsafe code may stand.

/// A file longer than this holds two ideas.
const MAX_LINES: usize = 500;

/// Where the kernel is spoken to in ways that the compiler cannot check: its programs, the sensor's room for it, and
/// the tester that makes system calls no library offers.
const UNSAFE_ALLOWED: [&str; 3] = ["zastava-ebpf/", "zastava-sensor/src/kernel/", "tests/src/bin/tester/"];

/// What is wrong with the file at `path` (from the root).
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut told = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MAX_LINES {
        told.push(format!("{path} has {} lines; past {MAX_LINES} it holds two ideas: split it", lines.len()));
    }
    let allowed = UNSAFE_ALLOWED.iter().any(|start| path.starts_with(start));
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
        if !allowed {
            told.push(format!(
                "{path}:{}: unsafe code stands in {} alone",
                at + 1,
                UNSAFE_ALLOWED.join(", ")
            ));
        } else if opens_block(line) && !has_reason(&lines[..=at]) {
            told.push(format!("{path}:{}: an unsafe block without a `// SAFETY:` comment", at + 1));
        }
    }
    told
}

/// The line without what it quotes and without its comment.
fn code(line: &str) -> String {
    let unquoted: String = line.replace("\\\"", "").split('"').step_by(2).collect();
    unquoted.split("//").next().unwrap_or_default().to_owned()
}

/// The keyword where it makes something unsafe, not in a comment or a name.
fn is_unsafe(line: &str) -> bool {
    let code = code(line);
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].trim_start();
        let starts = before.is_none_or(|c| c.is_whitespace() || "(={[,|".contains(c));
        starts && ["{", "fn ", "impl", "extern", "trait"].iter().any(|next| after.starts_with(next))
    })
}

fn opens_block(line: &str) -> bool {
    code(line).contains("unsafe {")
}

/// Whether the last line, or the comment above its statement, says why it is safe. A statement may begin some lines
/// above its block; its start is after the last line that ends one.
fn has_reason(lines: &[&str]) -> bool {
    let Some((last, above)) = lines.split_last() else { return false };
    if last.contains("SAFETY:") {
        return true;
    }
    for line in above.iter().rev() {
        if line.contains("SAFETY:") {
            return true;
        }
        let code = code(line);
        let code = code.trim_end();
        if !line.trim_start().starts_with("//")
            && (code.ends_with(';') || code.ends_with('}') || code.trim().is_empty())
        {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::check;

    const ROOM: &str = "zastava-sensor/src/kernel/sys/perf.rs";

    #[test]
    fn unsafe_code_stands_in_its_rooms_alone() {
        let block = "// SAFETY: of course.\nlet x = unsafe { f() };\n";
        assert!(check(ROOM, block).is_empty());
        assert_eq!(check("zastava-sensor/src/file/elf.rs", block).len(), 1);
        assert!(
            check(
                "xtask/src/main.rs",
                "// unsafe { }\nlet unsafe_name = \"unsafe {\"; // unsafe fn\n#![forbid(unsafe_code)]\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn an_unsafe_block_says_why_it_is_safe() {
        assert_eq!(check(ROOM, "let x = unsafe { f() };\n").len(), 1);
        assert!(
            check(ROOM, "// SAFETY: the slice is live\n// until then.\nlet x =\n    unsafe { f() };\n")
                .is_empty()
        );
        assert_eq!(
            check(ROOM, "// SAFETY: of the other.\nlet y = unsafe { g() };\nlet x = unsafe { f() };\n").len(),
            1
        );
    }

    #[test]
    fn a_long_file_is_told() {
        assert!(check("a.rs", &"x\n".repeat(500)).is_empty());
        assert_eq!(check("a.rs", &"x\n".repeat(501)).len(), 1);
    }
}
