//! The words of loaders around a log: who loads, what, and which error came back.

/// What a line says of a load.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) loader: Option<&'static str>,
    pub(crate) program: Option<String>,
    pub(crate) errno: Option<i32>,
    pub(crate) failed: bool,
    /// The log starts behind this line.
    pub(crate) begins: bool,
    /// The log has ended.
    pub(crate) ends: bool,
    /// Bytes of the line behind which the log starts in it.
    pub(crate) rest: Option<usize>,
}

impl Said {
    fn of(loader: &'static str) -> Self {
        Self {
            loader: Some(loader),
            ..Self::default()
        }
    }
}

/// Texts of errors (strerror) and their numbers, in lower case.
const ERRORS: [(&str, &str, i32); 17] = [
    ("operation not permitted", "EPERM", 1),
    ("no such file or directory", "ENOENT", 2),
    ("no such process", "ESRCH", 3),
    ("argument list too long", "E2BIG", 7),
    ("bad file descriptor", "EBADF", 9),
    ("resource temporarily unavailable", "EAGAIN", 11),
    ("cannot allocate memory", "ENOMEM", 12),
    ("permission denied", "EACCES", 13),
    ("bad address", "EFAULT", 14),
    ("device or resource busy", "EBUSY", 16),
    ("file exists", "EEXIST", 17),
    ("invalid argument", "EINVAL", 22),
    ("no space left on device", "ENOSPC", 28),
    ("numerical result out of range", "ERANGE", 34),
    ("too many levels of symbolic links", "ELOOP", 40),
    ("operation not supported", "EOPNOTSUPP", 95),
    ("unknown error 524", "ENOTSUPP", 524),
];

/// The error a text names: by its words, its name, or a number in the usual places.
pub(crate) fn errno(text: &str) -> Option<i32> {
    for stem in [
        "os error ",
        "code: ",
        "errno ",
        "errno=",
        "failed to load: -",
        "err=-",
        "err = -",
        "error code: -",
        "failed: -",
        "err: -",
    ] {
        if let Some(at) = text.find(stem) {
            let digits: String = text
                .get(at + stem.len()..)?
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            if let Ok(number @ 1..=600) = digits.parse() {
                return Some(number);
            }
        }
    }
    let lower = text.to_ascii_lowercase();
    if let Some((_, _, number)) = ERRORS.iter().find(|(words, _, _)| lower.contains(words)) {
        return Some(*number);
    }
    let names = ERRORS.iter().find(|(_, name, _)| {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == *name)
    });
    names.map(|(_, _, number)| *number)
}

/// What stands between quotes: `'x'`, `` `x` ``, `"x"`, `b'x'`.
fn quoted(text: &str) -> Option<String> {
    let start = text.find(['\'', '`', '"'])?;
    let quote = text.get(start..)?.chars().next()?;
    let rest = text.get(start + 1..)?;
    let end = rest.find(quote)?;
    let name = rest.get(..end)?;
    (!name.is_empty() && name.len() <= 256 && !name.contains(' ')).then(|| name.to_owned())
}

fn after<'a>(text: &'a str, stem: &str) -> Option<&'a str> {
    text.find(stem).and_then(|at| text.get(at + stem.len()..))
}

/// None for a line that is of no loader known.
pub(crate) fn said(line: &str) -> Option<Said> {
    let text = line.trim();
    if text == "libbpf:" {
        return Some(Said::of("libbpf"));
    }
    if let Some(rest) = after(text, "libbpf: ") {
        let before = text.len() - rest.len();
        if before < 64 {
            return Some(libbpf(rest));
        }
    }
    if text.contains("-- BEGIN PROG LOAD LOG --") || text.contains("-- END PROG LOAD LOG --") {
        return Some(libbpf(text));
    }
    if text.contains("BEGIN DUMP LOG") || text.contains("-- BEGIN LOG --") {
        return Some(Said {
            begins: true,
            failed: true,
            ..Said::of("libbpf")
        });
    }
    if text == "-- END LOG --" {
        return Some(Said {
            ends: true,
            ..Said::of("libbpf")
        });
    }
    cilium(text)
        .or_else(|| aya(line, text))
        .or_else(|| others(text))
}

fn libbpf(rest: &str) -> Said {
    let mut made = Said::of("libbpf");
    if rest.starts_with("prog ") {
        made.program = quoted(rest);
    } else if rest.starts_with("failed to load program ") {
        made.program = quoted(rest);
        made.failed = true;
    }
    made.begins = rest.contains("BEGIN PROG LOAD LOG") || rest.contains("BEGIN DUMP LOG");
    made.ends = rest.contains("END PROG LOAD LOG") || rest.contains("-- END LOG --");
    let failed = rest.contains("load failed")
        || rest.contains("failed to load")
        || rest.contains("load bpf program failed");
    if failed {
        made.failed = true;
        made.errno = errno(rest);
    }
    made
}

fn aya(line: &str, text: &str) -> Option<Said> {
    let stem = ["BPF_PROG_LOAD` syscall", "BPF_PROG_LOAD syscall"]
        .into_iter()
        .find(|stem| text.contains(stem));
    let debug = text.contains("verifier_log: ");
    let alone = [
        "Verifier output:",
        "Verifier output :",
        "verifier log: ",
        "Verifier log:",
    ]
    .into_iter()
    .find(|stem| text.contains(stem));
    if stem.is_none() && !debug && alone.is_none() {
        return None;
    }
    let mut made = Said::of("aya");
    made.errno = errno(text);
    made.failed = true;
    let heads = [
        "Verifier output:",
        "Verifier output :",
        "verifier_log: VerifierLog(\"",
        "verifier_log: \"",
        "verifier_log: ",
        "verifier log: ",
        "Verifier log:",
    ];
    for head in heads {
        if let Some(at) = line.find(head) {
            made.begins = true;
            let start = at + head.len();
            if line
                .get(start..)
                .is_some_and(|rest| !rest.trim().is_empty())
            {
                made.rest = Some(start);
            }
            break;
        }
    }
    Some(made)
}

fn cilium(text: &str) -> Option<Said> {
    let at = text
        .find("load program: ")
        .or_else(|| text.find("load program "))?;
    // bcc says `Failed to load program: ..`.
    if text.get(..at).is_some_and(|head| head.ends_with("to ")) {
        return None;
    }
    let mut made = Said::of("cilium");
    made.failed = true;
    if let Some(rest) = after(text.get(..at)?, "program ") {
        made.program = rest
            .split(':')
            .next()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
    }
    let rest = text.get(at..)?;
    made.errno = errno(rest);
    made.begins = true;
    Some(made)
}

/// cilium/ebpf's one line: what it has of the log behind the error's words, and how many lines it left out.
pub(crate) fn one_line(line: &str) -> Option<(Vec<String>, bool)> {
    let rest = after(line, "load program: ")?;
    let rest = match rest.split_once(": ") {
        Some((words, rest)) if errno(words).is_some() => rest,
        _ => return None,
    };
    let mut rest = rest.trim();
    let mut omitted = false;
    if let Some(at) = rest
        .rfind(" (")
        .filter(|_| rest.contains("omitted)") || rest.ends_with("(truncated)"))
        && rest
            .get(at..)
            .is_some_and(|tail| tail.contains("omitted)") || tail == " (truncated)")
    {
        rest = rest.get(..at)?;
        omitted = true;
    }
    if rest.is_empty() {
        return None;
    }
    // The last line, and the one before it where it says more.
    let bytes = rest.as_bytes();
    let mut cut = None;
    for (at, _) in rest.match_indices(": ") {
        let tail = bytes.get(at + 2..)?;
        let register = matches!(tail, [b'R', digit, ..] if digit.is_ascii_digit())
            && !crate::lines::starts_state(tail);
        if register || tail.starts_with(b"invalid bpf_context access") {
            cut = Some(at);
        }
    }
    let lines = match cut {
        Some(at) => vec![rest.get(..at)?.to_owned(), rest.get(at + 2..)?.to_owned()],
        None => vec![rest.to_owned()],
    };
    Some((lines, omitted))
}

fn others(text: &str) -> Option<Said> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("bpf: failed to load program")
        || lower.contains("failed to load bpf program b'")
    {
        let mut made = Said::of("bcc");
        made.failed = true;
        made.errno = errno(text);
        made.program = quoted(text);
        made.begins = lower.starts_with("bpf: failed");
        made.ends = !made.begins;
        return Some(made);
    }
    if text.starts_with("Prog section ") && text.contains(" rejected: ") {
        let mut made = Said::of("iproute2");
        made.failed = true;
        made.errno = errno(text);
        made.program = quoted(text);
        return Some(made);
    }
    if text == "Verifier analysis:" {
        return Some(Said {
            begins: true,
            ..Said::of("iproute2")
        });
    }
    if text.starts_with("Error: failed to load object file")
        || text.starts_with("bpftool prog load")
        || text.contains("$ bpftool prog load")
        || text.contains("bpftool prog load ")
    {
        return Some(Said {
            failed: text.starts_with("Error"),
            ..Said::of("bpftool")
        });
    }
    if text.contains("(os error ") && text.len() < 200 {
        return Some(Said {
            errno: errno(text),
            failed: true,
            ..Said::default()
        });
    }
    if text.contains("load_program() failed") || text.starts_with("bpf_load_program() err") {
        return Some(Said {
            failed: true,
            begins: true,
            errno: errno(text),
            ..Said::default()
        });
    }
    None
}
