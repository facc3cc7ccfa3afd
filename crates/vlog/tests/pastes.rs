//! Several loads in one paste, and lines that were folded with a logger's prefix.
use bpfsmith_vlog::{Verdict, read};

const FIRST: &str = "0: (b7) r3 = 7\n1: (79) r1 = *(u64 *)(r8 +8)\nR8 !read_ok\n";
const COUNTED: &str =
    "verification time 5 usec\nstack depth 0\nprocessed 2 insns (limit 1000000) mark_read 1\n";
const EARLY: &str = "BPF_STX uses reserved fields\nverification time 4 usec\nstack depth 8\nprocessed 0 insns (limit 1000000) mark_read 0\n";

fn told(text: &str) -> Vec<(Verdict, String)> {
    let paste = read(text.as_bytes());
    let loads = paste.loads.iter();
    loads
        .map(|one| (one.verdict, one.message.clone()))
        .collect()
}

#[test]
fn counts_begin_another_load() {
    let first = (Verdict::Rejected, "R8 !read_ok".to_owned());
    let early = (Verdict::Rejected, "BPF_STX uses reserved fields".to_owned());
    for between in [
        "",
        "\n\nCaused by:\n",
        "\n\nCaused by:\n    Permission denied (os error 13)\n",
    ] {
        let text = format!("{FIRST}{COUNTED}{between}{EARLY}");
        assert_eq!(told(&text), [first.clone(), early.clone()], "{between:?}");
    }
    // One that breaks off: the words are of the load that counts nothing.
    let cut = FIRST.split_inclusive('\n').take(2).collect::<String>();
    let paste = read(format!("{cut}{EARLY}").as_bytes());
    let [broken, next] = paste.loads.as_slice() else {
        panic!("{} loads", paste.loads.len());
    };
    assert_eq!(
        (broken.verdict, broken.message.as_str()),
        (Verdict::Unknown, "")
    );
    assert_eq!(
        (next.verdict, next.message.as_str()),
        (early.0, early.1.as_str())
    );
    assert_eq!(
        (next.counts.get("usec"), next.stack.clone()),
        (Some(&4), Some(vec![8]))
    );
    assert!(broken.counts.is_empty() && broken.stack.is_none());
}

#[test]
fn counts_that_are_told_twice_are_of_one_load() {
    assert_eq!(told(&format!("{FIRST}{COUNTED}\n{COUNTED}")).len(), 1);
}

#[test]
fn nothing_processed_is_not_accepted() {
    let text = "verification time 4 usec\nprocessed 0 insns (limit 1000000) mark_read 0\n";
    assert_eq!(told(text), [(Verdict::Unknown, String::new())]);
}

#[test]
fn folded_lines_are_joined() {
    let whole = format!(
        "0: R1=ctx() R3=map_value(ks=4,vs=8) R4=pkt(r=0) R5=scalar(smin=0,smax=4) R10=fp0\n{FIRST}{COUNTED}"
    );
    for width in 60..100 {
        let mut text = String::new();
        for line in whole.lines() {
            let line: Vec<char> = format!("03:04:05 ERROR app: {line}").chars().collect();
            for piece in line.chunks(width) {
                text.extend(piece);
                text.push('\n');
            }
        }
        let paste = read(text.as_bytes());
        let [load] = paste.loads.as_slice() else {
            panic!("{width}: {} loads", paste.loads.len());
        };
        assert_eq!(load.message, "R8 !read_ok", "{width}");
        assert_eq!(load.counts.get("mark_read"), Some(&1), "{width}");
    }
}
