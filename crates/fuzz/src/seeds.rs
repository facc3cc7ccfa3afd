//! What is made hostile: committed objects, sources and texts, and whatever folder is given.
use std::path::{Path, PathBuf};

/// More would only make each execution slower.
const LARGEST: u64 = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files below `folder` with one of these suffixes, in the order of their names.
fn files(folder: &Path, suffixes: &[&str], depth: usize, out: &mut Vec<PathBuf>) {
    let Ok(found) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = found.flatten().map(|one| one.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if depth > 0 && path.file_name().is_none_or(|name| name != "target") {
                files(&path, suffixes, depth - 1, out);
            }
        } else if path
            .extension()
            .and_then(|it| it.to_str())
            .is_some_and(|it| suffixes.contains(&it))
        {
            out.push(path);
        }
    }
}

fn read(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    let small = |path: &&PathBuf| path.metadata().is_ok_and(|it| it.len() <= LARGEST);
    paths
        .iter()
        .filter(small)
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}

/// The committed objects, and those of `more`.
#[must_use]
pub fn objects(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for folder in ["tests/fixtures", "tests/data"] {
        files(&root().join(folder), &["o"], 0, &mut paths);
    }
    if let Some(more) = more {
        files(more, &["o"], 4, &mut paths);
    }
    read(&paths)
}

/// Our examples' and our own Rust, and that of `more`.
#[must_use]
pub fn sources(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    files(&root().join("examples"), &["rs"], 4, &mut paths);
    files(&root().join("crates/source/src"), &["rs"], 0, &mut paths);
    if let Some(more) = more {
        files(more, &["rs"], 6, &mut paths);
    }
    read(&paths)
}

/// The committed verifier logs, and those of `more`.
#[must_use]
pub fn logs(more: Option<&Path>) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    files(
        &root().join("tests/data/verifier_logs"),
        &["log"],
        0,
        &mut paths,
    );
    files(&root().join("examples/rejected"), &["log"], 0, &mut paths);
    if let Some(more) = more {
        files(more, &["log", "txt"], 4, &mut paths);
    }
    read(&paths)
}
