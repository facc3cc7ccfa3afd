//! What a load says as a whole: counts, functions, its message, and what became of it.
use crate::insn::InsnKind;
use crate::lines::{Kind, classify, leading};
use crate::log::{Load, NONE, Paste, Subprogram, Text, Verdict};

fn words(line: &str) -> Vec<&str> {
    line.split([' ', ',', '(', ')', '\t'])
        .filter(|word| !word.is_empty())
        .collect()
}

/// The number behind a word.
fn told(words: &[&str], name: &str) -> Option<u64> {
    let at = words.iter().position(|word| *word == name)?;
    words.get(at + 1)?.parse().ok()
}

pub(crate) fn count(load: &mut Load, line: &str) {
    let words = words(line);
    if line.starts_with("verification time ") {
        if let Some(usec) = told(&words, "time") {
            load.counts.insert("usec", usec);
        }
    } else if line.starts_with("stack depth ") {
        let parts = words.get(2).filter(|word| **word != "max").copied();
        load.stack = parts.and_then(depths).or(load.stack.take());
    } else if line.starts_with("subprog ") {
        subprogram(load, line);
    } else {
        for name in [
            "processed",
            "limit",
            "max_states_per_insn",
            "total_states",
            "peak_states",
            "mark_read",
        ] {
            if let Some(value) = told(&words, name) {
                load.counts.insert(name, value);
            }
        }
        // 4.19: `processed 8 insns (limit 131072), stack depth 0+16`.
        if let Some(at) = words.iter().position(|word| *word == "depth") {
            load.stack = words
                .get(at + 1)
                .and_then(|word| depths(word))
                .or(load.stack.take());
        }
    }
}

fn depths(word: &str) -> Option<Vec<u64>> {
    word.split('+').map(|part| part.parse().ok()).collect()
}

/// `subprog 0 (main) main insns_self 13 insns_total 13 stack 8`.
fn subprogram(load: &mut Load, line: &str) {
    let Some(rest) = line.strip_prefix("subprog ") else {
        return;
    };
    let Some((number, used)) = leading(rest.as_bytes()) else {
        return;
    };
    let name = rest
        .get(used..)
        .and_then(|rest| rest.strip_prefix(" ("))
        .and_then(|rest| rest.split_once(')'));
    let Some((name, rest)) = name else { return };
    let words = words(rest);
    let Some(stack) = told(&words, "stack") else {
        return;
    };
    let one = at_number(load, number);
    let Some(one) = one else { return };
    one.name = Some(name.to_owned());
    one.kind = words.first().map(|word| (*word).to_owned());
    one.insns_self = told(&words, "insns_self");
    one.insns_total = told(&words, "insns_total");
    one.stack = Some(stack);
}

fn at_number(load: &mut Load, number: u32) -> Option<&mut Subprogram> {
    let list = &mut load.subprograms;
    let at = match list.binary_search_by_key(&number, |one| one.number) {
        Ok(at) => at,
        Err(at) if list.len() < 1024 => {
            list.insert(
                at,
                Subprogram {
                    number,
                    ..Subprogram::default()
                },
            );
            at
        }
        Err(_) => return None,
    };
    list.get_mut(at)
}

/// `func#1 @30`, `Func#1 ('x') is global ..`, `subprog#1 less:`.
pub(crate) fn function(load: &mut Load, line: &str) {
    let rest = ["func#", "Func#", "subprog#", "stack use/def subprog#"]
        .iter()
        .find_map(|stem| line.strip_prefix(stem));
    let Some(rest) = rest else { return };
    let Some((number, used)) = leading(rest.as_bytes()) else {
        return;
    };
    let rest = rest.get(used..).unwrap_or("");
    if let Some(slot) = rest
        .strip_prefix(" @")
        .and_then(|slot| slot.trim().parse().ok())
    {
        if let Some(one) = at_number(load, number) {
            one.slot = Some(slot);
        }
    } else if let Some((name, _)) = rest
        .strip_prefix(" ('")
        .and_then(|rest| rest.split_once('\''))
    {
        if let Some(one) = at_number(load, number) {
            one.name = Some(name.to_owned());
        }
    } else if let Some(name) = rest
        .strip_prefix(' ')
        .and_then(|rest| rest.strip_suffix(':'))
    {
        let name = name.split(" (").next().unwrap_or(name);
        if !name.contains(' ')
            && let Some(one) = at_number(load, number)
        {
            one.name = Some(name.to_owned());
        }
    }
}

/// Words a verifier says in passing, also when it accepts.
fn is_note(line: &str) -> bool {
    (line.starts_with("Global function ") && line.contains("doesn't return scalar"))
        || line.starts_with("Unrecognized arg#")
        || (line.starts_with("arg#")
            && (line.contains("reference type(") || line.contains("is not a struct")))
        || line.starts_with("Func#")
}

pub(crate) fn finish(paste: &mut Paste) {
    let Paste { text, loads } = paste;
    if loads.is_empty() {
        loads.push(Load {
            end: text.len(),
            ..Load::default()
        });
    }
    for load in loads {
        one(text, load);
    }
}

fn one(text: &Text, load: &mut Load) {
    let counted = load.counts.contains_key("processed");
    let sure =
        (load.first..load.end).any(|line| text.kind(line).is_some_and(super::lines::Kind::is_sure));
    let last_sure = (load.first..load.end).rev().find(|line| {
        matches!(
            text.kind(*line),
            Some(Kind::Insn | Kind::State | Kind::From | Kind::Safe | Kind::Frame)
        )
    });
    // The message: said last, and behind all that was followed.
    let mut message = load.told.last().copied();
    if let (Some(line), Some(last)) = (message, last_sure)
        && line < last
        && load.report.is_none()
    {
        message = None;
    }
    let processed = load.counts.get("processed").copied();
    let only_note = message.is_some_and(|line| is_note(text.line(line)));
    let followed = !load.steps.is_empty() || processed.is_some_and(|n| n > 0);
    // Behind what was followed it is no note.
    let behind = last_sure.is_some() && message > last_sure;
    if only_note && followed && !behind && !load.failed {
        message = None;
    }
    if !sure && !load.failed && message.is_some_and(|line| !looks_said(text.line(line))) {
        message = None;
    }
    let ends = load
        .steps
        .last()
        .is_some_and(|one| one.kind == InsnKind::Exit && one.frame == 0)
        || last_sure.is_some_and(|line| {
            text.kind(line) == Some(Kind::Safe) || text.line(line).ends_with(": safe")
        });
    // That it failed is known, and its steps, but the log stops in the middle of them.
    let stops = !load.steps.is_empty()
        && !counted
        && !ends
        && load.errno.is_none_or(|errno| errno == 13 || errno == 22)
        && !load.told.iter().any(|line| Some(*line) > last_sure);
    load.verdict = if message.is_some() || (load.failed && !stops) || load.report.is_some() {
        Verdict::Rejected
    } else if processed.is_some_and(|n| n > 0) && (load.steps.is_empty() || ends || load.cut_middle)
    {
        Verdict::Accepted
    } else {
        Verdict::Unknown
    };
    if let Some(line) = message {
        load.message = text.line(line).trim().to_owned();
        load.message_line = Some(line);
    } else if let Some(report) = &load.report {
        load.message.clone_from(&report.reason);
    }
    load.at = placed(&load.message).or_else(|| load.steps.last().map(|one| one.slot));
    level(text, load);
    if load.loader.is_none() && (sure || load.verdict == Verdict::Rejected) {
        load.loader = Some("kernel");
    }
    if load.stack.is_none() {
        let depths: Vec<u64> = load
            .subprograms
            .iter()
            .filter_map(|one| one.stack)
            .collect();
        load.stack = (!depths.is_empty()).then_some(depths);
    }
    if load.program.is_none() {
        let main = load.subprograms.iter().find(|one| one.number == 0);
        load.program = main.and_then(|one| one.name.clone());
    }
    cuts(text, load);
}

/// Without anything sure around it a line is the verifier's only when it looks like its words.
fn looks_said(line: &str) -> bool {
    let line = line.trim();
    let first = line.as_bytes().first();
    let register = matches!(line.as_bytes(), [b'R', digit, ..] if digit.is_ascii_digit());
    register
        || [
            "invalid ",
            "unreachable insn",
            "back-edge",
            "infinite loop",
            "jump out of range",
            "last insn is not",
            "unknown func",
            "Unreleased reference",
            "At program exit",
            "BPF program is too large",
            "math between",
            "cannot ",
            "arg#",
            "func",
            "program of this type",
            "kernel function",
            "combined stack size",
            "the call stack",
            "The sequence of",
            "attach_btf",
            "dereference of",
        ]
        .iter()
        .any(|stem| line.starts_with(stem) && first.is_some())
}

/// Messages about the shape of the code name the slot themselves.
fn placed(message: &str) -> Option<u32> {
    for stem in [
        "unreachable insn ",
        "infinite loop detected at insn ",
        "back-edge from insn ",
        "jump out of range from insn ",
    ] {
        if let Some(rest) = message.strip_prefix(stem) {
            return leading(rest.as_bytes()).map(|(slot, _)| slot);
        }
    }
    None
}

fn level(text: &Text, load: &mut Load) {
    let mut from = false;
    let mut listed = false;
    for line in load.first..load.end {
        match text.kind(line) {
            Some(Kind::Live | Kind::Safe) => listed = true,
            Some(Kind::Func) => listed |= text.line(line).starts_with("func#"),
            Some(Kind::From) => from = true,
            _ => {}
        }
    }
    load.level = if listed || (from && !load.old) {
        2
    } else {
        u8::from(!load.steps.is_empty())
    };
}

fn cuts(text: &Text, load: &mut Load) {
    let begins = (load.first..load.end).find_map(|line| match text.kind(line) {
        Some(Kind::Insn | Kind::State) => text.lines.get(line as usize).map(|one| one.slot),
        Some(Kind::Live | Kind::Func) => Some(0),
        Some(Kind::From) => Some(NONE),
        _ => None,
    });
    let first = load.steps.first().map(|one| one.slot);
    load.cut_head |= match (begins, first) {
        (Some(slot), Some(first)) => slot != 0 && first != 0,
        _ => false,
    };
    load.cut_head &= !load.cut_middle;
    let counted = load.counts.contains_key("processed");
    load.cut_middle |= load.gap;
    load.cut_tail =
        !counted && load.message.is_empty() && (!load.steps.is_empty() || load.level > 0);
}

/// The log written again from what was read of it.
#[must_use]
pub fn printed(text: &Text, load: &Load) -> String {
    let mut out = String::new();
    for number in load.first..load.end {
        let line = text.line(number);
        if text.kind(number) == Some(Kind::Insn) {
            insn(load, line, &mut out);
        } else if text.kind(number) == Some(Kind::State)
            && classify(line.as_bytes()).0 == Kind::State
        {
            state(line, &mut out);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

fn insn(_load: &Load, line: &str, out: &mut String) {
    out.push_str(line);
}

fn state(line: &str, out: &mut String) {
    out.push_str(line);
}
