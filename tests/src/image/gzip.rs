//! Writes gzip (RFC 1952) without compressing: blocks of deflate (RFC 1951, 3.2.4) hold the bytes as they are, so that
//! the same bytes give the same file wherever it is made.

/// Bytes that a stored block holds at most.
const STORED: usize = 0xffff;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Deflate, no flags, no time, unknown operating system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = bytes.chunks(STORED).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// Section 8 of RFC 1952.
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|index| {
        (0..8).fold(index as u32, |row, _| if row & 1 == 1 { 0xedb8_8320 ^ (row >> 1) } else { row >> 1 })
    });
    !bytes.iter().fold(u32::MAX, |sum, byte| table[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
        thread,
    };

    use super::{crc32, gzip};

    #[test]
    fn another_gzip_reads_what_was_written() {
        for len in [0, 1, 65_535, 65_536, 200_000] {
            let bytes: Vec<u8> = (0..len).map(|at: u32| (at * 7 % 251) as u8).collect();
            let mut child = Command::new("gzip")
                .args(["--decompress", "--stdout"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = child.stdin.take().unwrap();
            let packed = gzip(&bytes);
            let writer = thread::spawn(move || input.write_all(&packed).unwrap());
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            assert!(output.status.success());
            assert_eq!(output.stdout, bytes, "{len} bytes");
        }
    }

    #[test]
    fn the_sum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
