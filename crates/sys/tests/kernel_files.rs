//! Lists of CPUs and kallsyms, from text.
use bpfsmith_sys::procfs::{Search, count_cpus};

#[test]
fn cpu_lists() {
    assert_eq!(count_cpus("0\n"), Some(1));
    assert_eq!(count_cpus("0-3,8,10-11\n"), Some(7));
    for bad in ["", "x", "3-1", "0-", "-1", "0-4294967296"] {
        assert_eq!(count_cpus(bad), None, "{bad}");
    }
}

#[test]
fn symbols() {
    let text = b"ffffffff81000000 T _text\n\
        ffffffff81000010 t same\n\
        ffffffff81000020 t same\n\
        ffffffffc0000010 t same\t[veth]\n\
        ffffffffc0000020 t \n\
        short\n\
        \n\
        ffffffff81000030 D last";
    let mut search = Search::new(&["same", "last", "none", "", "_text"], None);
    search.feed(text);
    let found = search.finish();
    let kernel = String::new;
    assert_eq!(
        found[&b"same"[..]],
        [
            (0xffff_ffff_8100_0010, kernel()),
            (0xffff_ffff_8100_0020, kernel()),
            (0xffff_ffff_c000_0010, "veth".to_owned())
        ]
    );
    assert_eq!(found[&b"last"[..]], [(0xffff_ffff_8100_0030, kernel())]);
    assert_eq!(found[&b"_text"[..]], [(0xffff_ffff_8100_0000, kernel())]);
    assert!(found[&b"none"[..]].is_empty());

    for (module, count) in [("veth", 1), ("", 2), ("other", 0)] {
        let mut search = Search::new(&["same"], Some(module));
        search.feed(text);
        assert_eq!(search.finish()[&b"same"[..]].len(), count, "{module}");
    }
}
