//! Functions and entry programs: which symbols are which, by libbpf's rules.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::elf::{Elf, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_NOTYPE, Symbol};
use crate::notes::Notes;
use crate::sections::Role;
use crate::{Error, Function, Note, Program, Result};

/// Overlapping function symbols multiply the work of every reader; aliases are fine, thousands of them are an attack.
const MAX_OVERLAP: u64 = 16;

/// Functions by section, then offset.
pub(crate) struct Functions {
    pub(crate) functions: Vec<Function>,
    pub(crate) programs: Vec<Program>,
}

/// Index of `.text`, the section of subprograms: the last executable one of that name.
pub(crate) fn text_section(elf: &Elf, roles: &[Role]) -> Option<usize> {
    (1..roles.len())
        .rev()
        .find(|&i| roles.get(i) == Some(&Role::Code) && elf.section_name_raw(i) == b".text")
}

pub(crate) fn collect(elf: &Elf, roles: &[Role], notes: &mut Notes) -> Result<Functions> {
    let text = text_section(elf, roles);
    let mut found: Vec<(Symbol, bool)> = Vec::new();
    let mut has_functions = vec![false; roles.len()];
    let code = |symbol: &Symbol| roles.get(symbol.section as usize) == Some(&Role::Code);
    for (_, symbol) in elf
        .symbols()
        .filter(|(_, s)| s.kind() == STT_FUNC && code(s))
    {
        if let Some(flag) = has_functions.get_mut(symbol.section as usize) {
            *flag = true;
        }
        found.push((symbol, false));
    }
    // Clang before 6 and hand-written assembly give functions no type.
    let untyped = |symbol: &Symbol| {
        symbol.kind() == STT_NOTYPE
            && matches!(symbol.bind(), STB_GLOBAL | STB_WEAK)
            && code(symbol)
            && has_functions.get(symbol.section as usize) == Some(&false)
    };
    for (_, symbol) in elf.symbols().filter(|(_, s)| untyped(s)) {
        found.push((symbol, true));
    }
    // libbpf sorts with a comparison that turns ties around, so that of two aliases the later symbol comes first.
    found.reverse();
    found.sort_by_key(|(s, _)| (s.section, s.value));
    note_empty_sections(elf, roles, notes);
    let mut functions = describe(elf, &found, text, notes)?;
    whole_sections(elf, roles, &mut functions, notes);
    check_overlap(elf, &functions)?;
    let programs: Vec<Program> = functions
        .iter()
        .enumerate()
        .filter(|(_, f)| f.program)
        .map(|(index, f)| {
            let (section, autoload) = match f.section.strip_prefix('?') {
                Some(rest) => (rest.to_owned(), false),
                None => (f.section.clone(), true),
            };
            Program {
                name: f.name.clone(),
                section,
                function: index,
                offset: f.offset,
                own_slots: f.slots(),
                autoload,
                weak: f.weak,
            }
        })
        .collect();
    note_duplicates(&programs, notes);
    Ok(Functions {
        functions,
        programs,
    })
}

/// A compiler that found out that a function can only be undefined leaves nothing of it but its name: it must not
/// vanish without a word, nor take the rest of the object with it.
fn without_instructions(name: &str) -> Note {
    Note {
        kind: "function-without-instructions",
        text: format!(
            "function `{name}` has no instructions: the compiler took all of it for unreachable; it cannot be loaded"
        ),
    }
}

/// The same for functions alone in their section, which then is no code section at all.
fn note_empty_sections(elf: &Elf, roles: &[Role], notes: &mut Notes) {
    for (_, symbol) in elf.symbols().filter(|(_, s)| s.kind() == STT_FUNC) {
        let index = symbol.section as usize;
        let empty = elf.section(index).is_some_and(|section| section.size == 0);
        if index != 0 && empty && roles.get(index) == Some(&Role::Other) {
            notes.push(without_instructions(&elf.symbol_name(&symbol)));
        }
    }
}

/// For each symbol, where the next one of its section starts; the section's size for the last.
fn next_starts(elf: &Elf, found: &[(Symbol, bool)]) -> Vec<u64> {
    let mut ends = Vec::with_capacity(found.len());
    let mut after: Option<Symbol> = None;
    let mut end = 0;
    for (symbol, _) in found.iter().rev() {
        match after {
            Some(next) if next.section == symbol.section => {
                if next.value > symbol.value {
                    end = next.value;
                }
            }
            _ => end = elf.section(symbol.section as usize).map_or(0, |s| s.size),
        }
        ends.push(end);
        after = Some(*symbol);
    }
    ends.reverse();
    ends
}

fn describe(
    elf: &Elf,
    found: &[(Symbol, bool)],
    text: Option<usize>,
    notes: &mut Notes,
) -> Result<Vec<Function>> {
    let ends = next_starts(elf, found);
    let mut functions = Vec::with_capacity(found.len());
    for (index, (symbol, untyped)) in found.iter().enumerate() {
        let section = symbol.section as usize;
        let name = elf.symbol_name(symbol);
        let place = || {
            format!(
                "section {}, symbol `{name}`",
                section_label(&elf.section_name(section))
            )
        };
        let room = elf.section(section).map_or(0, |s| s.size);
        let mut size = symbol.size;
        if size == 0 {
            let next = ends.get(index).copied().unwrap_or(room);
            size = next.saturating_sub(symbol.value);
            if !untyped && size != 0 {
                notes.push(Note {
                    kind: "function-without-size",
                    text: format!("function `{name}` has no size; taken up to the next one (libbpf refuses it)"),
                });
            }
        }
        if size == 0 {
            notes.push(without_instructions(&name));
            continue;
        }
        let end = symbol.value.checked_add(size);
        if end.is_none_or(|end| end > room) {
            return Err(Error::new(
                format!(
                    "function `{name}` crosses the end of its section: {size} bytes at {:#x} of {room}",
                    symbol.value
                ),
                place(),
            ));
        }
        if size % 8 != 0 || symbol.value % 8 != 0 {
            return Err(Error::new(
                format!(
                    "function `{name}` is not made of 8-byte slots: {size} bytes at {:#x}",
                    symbol.value
                ),
                place(),
            ));
        }
        let local = symbol.bind() == STB_LOCAL;
        let in_text = Some(section) == text;
        if local && !in_text {
            notes.push(Note {
                kind: "static-function-outside-text",
                text: format!(
                    "static function `{name}` lies in section `{}`; libbpf only takes subprograms from `.text`",
                    elf.section_name(section)
                ),
            });
        }
        if *untyped {
            notes.push(Note {
                kind: "untyped-function",
                text: format!("symbol `{name}` has no function type; libbpf does not see it"),
            });
        }
        functions.push(Function {
            name: name.into_owned(),
            section_index: symbol.section,
            section: elf.section_name(section).into_owned(),
            offset: symbol.value,
            size,
            weak: symbol.bind() == STB_WEAK,
            is_static: local || symbol.is_hidden(),
            program: !in_text && !local,
        });
    }
    Ok(functions)
}

/// Without any symbol in it, a code section still is one function (a stripped object).
fn whole_sections(elf: &Elf, roles: &[Role], functions: &mut Vec<Function>, notes: &mut Notes) {
    if elf.symbol_count() > 1 {
        return;
    }
    for (index, _) in roles.iter().enumerate().filter(|(_, r)| **r == Role::Code) {
        let name = elf.section_name(index);
        let size = elf.section(index).map_or(0, |s| s.size) / 8 * 8;
        if size == 0 {
            continue;
        }
        notes.push(Note {
            kind: "no-symbols",
            text: format!("no symbols: section `{name}` is taken as one function (libbpf refuses stripped objects)"),
        });
        functions.push(Function {
            name: name.clone().into_owned(),
            section_index: index as u32,
            program: name != ".text",
            section: name.into_owned(),
            offset: 0,
            size,
            weak: false,
            is_static: false,
        });
    }
}

/// Of two programs of one name, only the first can be asked for by name.
fn note_duplicates(programs: &[Program], notes: &mut Notes) {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(programs.len());
    for program in programs {
        let count = seen.entry(program.name.as_str()).or_insert(0);
        *count += 1;
        if *count == 2 {
            notes.push(Note {
                kind: "duplicate-program-name",
                text: format!("more than one program is called `{}`", program.name),
            });
        }
    }
}

fn check_overlap(elf: &Elf, functions: &[Function]) -> Result<()> {
    for group in functions.chunk_by(|a, b| a.section_index == b.section_index) {
        let Some(first) = group.first() else { continue };
        let room = elf
            .section(first.section_index as usize)
            .map_or(0, |s| s.size);
        let total = group
            .iter()
            .fold(0_u64, |sum, f| sum.saturating_add(f.size));
        if total > room.saturating_mul(MAX_OVERLAP) {
            return Err(Error::new(
                format!(
                    "{} functions overlap: {total} bytes of code in {room}",
                    group.len()
                ),
                format!("section {}", section_label(&first.section)),
            ));
        }
    }
    Ok(())
}

fn section_label(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        Cow::Borrowed("(unnamed)")
    } else {
        Cow::Owned(format!("`{name}`"))
    }
}

/// The function that holds `slot` of `section`, found as libbpf does: the last one that starts at or before it.
pub(crate) fn containing(functions: &[Function], section: u32, slot: u64) -> Option<usize> {
    let after = functions.partition_point(|f| (f.section_index, f.offset / 8) <= (section, slot));
    let index = after.checked_sub(1)?;
    let function = functions.get(index)?;
    let inside = function.section_index == section && slot < (function.offset + function.size) / 8;
    inside.then_some(index)
}
