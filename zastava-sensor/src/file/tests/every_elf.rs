//! Every ELF file of the machine, beside what binutils and coreutils say of it.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// Of so many files one is taken, unless all are asked for.
const STEP: usize = 23;
/// Files given to a tool at once.
const BATCH: usize = 200;

#[test]
fn build_ids_and_digests_are_those_of_readelf_and_sha256sum() {
    let all = std::env::var_os("ZASTAVA_TEST_EVERY_FILE").is_some() || !cfg!(debug_assertions);
    let mut files: Vec<PathBuf> = Vec::new();
    for root in ["/usr/bin", "/usr/lib"] {
        collect(Path::new(root), &mut files);
    }
    files.sort();
    let files: Vec<_> = files.into_iter().step_by(if all { 1 } else { STEP }).collect();
    assert!(files.len() > 10, "{}", files.len());
    let limits = Limits { hash_bytes_per_second: 1 << 40, max_hash_file_bytes: 1 << 40, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let mut with_build_id = 0;
    for batch in files.chunks(BATCH) {
        let (build_ids, digests) = (readelf(batch), sha256sum(batch));
        for path in batch {
            let answer = bench.ask(Purpose::Library, own(), Some(&identity(path)), path);
            let build_id = build_ids.get(path).map(String::as_str);
            assert_eq!(answer.build_id.value().map(|id| &**id), build_id, "{answer:?}");
            let Known::Is(digest) = &answer.sha256 else { panic!("{answer:?}") };
            assert_eq!(
                (&*digest.sha256, digest.strength),
                (digests[path].as_str(), Strength::Inode),
                "{path:?}"
            );
            with_build_id += usize::from(build_id.is_some());
        }
    }
    println!("{} ELF files compared, {with_build_id} with a build-id", files.len());
    assert!(with_build_id > files.len() / 2);
}

/// Regular files below a directory that begin like ELF; symbolic links are passed over.
fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), into);
        } else if kind.is_file() {
            let mut head = Vec::new();
            File::open(entry.path()).unwrap().take(4).read_to_end(&mut head).unwrap();
            if elf::is_elf(&head) {
                into.push(entry.path());
            }
        }
    }
}

fn output(program: &str, option: &str, files: &[PathBuf]) -> String {
    let output = Command::new(program).arg(option).args(files).env("LC_ALL", "C").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The first build-id of each file.
fn readelf(files: &[PathBuf]) -> HashMap<PathBuf, String> {
    let mut found = HashMap::new();
    // With a single file there is no line that names it.
    let mut file = files[0].clone();
    for line in output("readelf", "-nW", files).lines() {
        if let Some(name) = line.strip_prefix("File: ") {
            file = name.into();
        } else if let Some((_, id)) = line.split_once("Build ID: ") {
            found.entry(file.clone()).or_insert_with(|| id.trim().to_owned());
        }
    }
    found
}

fn sha256sum(files: &[PathBuf]) -> HashMap<PathBuf, String> {
    output("sha256sum", "-b", files)
        .lines()
        .filter_map(|line| line.split_once(" *"))
        .map(|(digest, path)| (path.into(), digest.to_owned()))
        .collect()
}
