//! Local variables and parameters of a program, from DWARF: names, declarations, and where they are kept.

use gimli::{AttributeValue, DebuggingInformationEntry, Operation, Reader as _, UnitRef};

use crate::dwarf::{Reader, base, sections};
use crate::{Object, Result};

type Entry = DebuggingInformationEntry<Reader>;
type Unit<'a> = UnitRef<'a, Reader>;

/// A variable or parameter of a function, inlined ones too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Of the innermost function, inlined or not, as DWARF names it.
    pub function: String,
    /// As the source names it.
    pub name: String,
    /// File it is declared in, as the compiler wrote it, its folder joined.
    pub file: String,
    /// 1-based, 0 when there is none.
    pub line: u32,
    /// A parameter, not a local variable.
    pub parameter: bool,
    /// Name of its type; empty when it has none.
    pub type_name: String,
    /// Bytes, 0 when not known.
    pub size: u64,
    /// Of a struct: name, first byte, bytes.
    pub fields: Vec<(String, u64, u64)>,
    /// Where it is kept, by ranges of slots of the linked program; empty where the compiler left nothing of it.
    pub places: Vec<Place>,
}

/// Where a variable is kept from slot `start` on, before slot `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First slot.
    pub start: usize,
    /// Past the last slot.
    pub end: usize,
    /// Register or frame.
    pub kept: Kept,
}

/// A register, or an offset from the frame's lowest byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Number of the register.
    Register(u16),
    /// Bytes above the lowest byte of the function's own stack.
    Frame(i64),
}

/// Bounds for hostile files.
const MOST: usize = 8_000;
const MOST_PLACES: usize = 64;
const MOST_FIELDS: usize = 256;
const MOST_LINKS: usize = 16;
const MOST_CHILDREN: usize = 2_048;

impl Object {
    /// Local variables and parameters of the linked program `index`; empty without DWARF.
    ///
    /// # Errors
    /// As [`Object::link`].
    pub fn variables(&self, index: usize) -> Result<Vec<Variable>> {
        let linked = self.link(index)?;
        let spans: Vec<Span> = linked
            .functions
            .iter()
            .filter_map(|one| {
                let function = self.functions.get(one.function)?;
                let start = base(function.section_index).wrapping_add(function.offset);
                let end = start.wrapping_add(one.len as u64 * 8);
                Some(Span {
                    start,
                    end,
                    slot: one.start,
                })
            })
            .collect();
        let mut found = Vec::new();
        let Some(dwarf) = sections(self) else {
            return Ok(found);
        };
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            walk(unit.unit_ref(&dwarf), &spans, &mut found);
            if found.len() >= MOST {
                break;
            }
        }
        Ok(found)
    }
}

struct Span {
    start: u64,
    end: u64,
    slot: usize,
}

/// A function on the way down to an entry.
struct Scope {
    depth: isize,
    name: String,
    ranges: Vec<(usize, usize)>,
}

fn walk(unit: Unit<'_>, spans: &[Span], found: &mut Vec<Variable>) {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut entries = unit.entries();
    while let Ok(Some(entry)) = entries.next_dfs() {
        while scopes.last().is_some_and(|one| one.depth >= entry.depth()) {
            scopes.pop();
        }
        match entry.tag() {
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => scopes.push(Scope {
                depth: entry.depth(),
                name: text(unit, entry, gimli::DW_AT_name).unwrap_or_default(),
                ranges: covered(unit, entry, spans),
            }),
            gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter => {
                let Some(scope) = scopes.last().filter(|one| !one.ranges.is_empty()) else {
                    continue;
                };
                let Some(name) = text(unit, entry, gimli::DW_AT_name) else {
                    continue;
                };
                found.push(variable(unit, entry, name, scope, spans));
                if found.len() >= MOST {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn variable(
    unit: Unit<'_>,
    entry: &Entry,
    name: String,
    scope: &Scope,
    spans: &[Span],
) -> Variable {
    let (type_name, size, fields) = typed(unit, entry);
    let line = number(unit, entry, gimli::DW_AT_decl_line).unwrap_or(0);
    Variable {
        function: scope.name.clone(),
        name,
        file: file(unit, entry).unwrap_or_default(),
        line: u32::try_from(line).unwrap_or(0),
        parameter: entry.tag() == gimli::DW_TAG_formal_parameter,
        type_name,
        size,
        fields,
        places: places(unit, entry, scope, spans),
    }
}

/// The entry itself, and those it is made after, the nearest first.
fn line_of(unit: Unit<'_>, entry: &Entry) -> Vec<Entry> {
    let mut found = vec![entry.clone()];
    while found.len() < MOST_LINKS {
        let Some(last) = found.last() else { break };
        let next = [gimli::DW_AT_abstract_origin, gimli::DW_AT_specification]
            .into_iter()
            .find_map(|which| match last.attr_value(which) {
                Some(AttributeValue::UnitRef(offset)) => unit.entry(offset).ok(),
                _ => None,
            });
        let Some(next) = next else { break };
        found.push(next);
    }
    found
}

fn text(unit: Unit<'_>, entry: &Entry, which: gimli::DwAt) -> Option<String> {
    line_of(unit, entry).iter().find_map(|one| {
        let value = one.attr_value(which)?;
        let text = unit.attr_string(value).ok()?;
        text.to_string_lossy()
            .ok()
            .map(std::borrow::Cow::into_owned)
    })
}

fn number(unit: Unit<'_>, entry: &Entry, which: gimli::DwAt) -> Option<u64> {
    let line = line_of(unit, entry);
    line.iter()
        .find_map(|one| one.attr_value(which)?.udata_value())
}

fn file(unit: Unit<'_>, entry: &Entry) -> Option<String> {
    let index = line_of(unit, entry).iter().find_map(|one| {
        match one.attr_value(gimli::DW_AT_decl_file)? {
            AttributeValue::FileIndex(index) => Some(index),
            other => other.udata_value(),
        }
    })?;
    let program = unit.line_program.as_ref()?;
    let file = program.header().file(index)?;
    let string = |value| {
        let text = unit.attr_string(value).ok()?;
        text.to_string_lossy()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let name = string(file.path_name())?;
    if name.starts_with('/') {
        return Some(name);
    }
    let folder = file
        .directory(program.header())
        .and_then(string)
        .unwrap_or_default();
    Some(if folder.is_empty() {
        name
    } else {
        format!("{folder}/{name}")
    })
}

/// Slots of the linked program that a function's own code, or an inlined copy, takes.
fn covered(unit: Unit<'_>, entry: &Entry, spans: &[Span]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let Ok(mut ranges) = unit.die_ranges(entry) else {
        return found;
    };
    while let Ok(Some(range)) = ranges.next() {
        found.extend(slots(range.begin, range.end, spans));
        if found.len() >= MOST_PLACES {
            break;
        }
    }
    found
}

/// Addresses as slots: what of them is in the linked program.
fn slots(begin: u64, end: u64, spans: &[Span]) -> Option<(usize, usize)> {
    let span = spans
        .iter()
        .find(|one| one.start <= begin && begin < one.end)?;
    let slot = |address: u64| {
        span.slot
            .saturating_add(usize::try_from((address - span.start) / 8).unwrap_or(0))
    };
    let last = end.min(span.end).max(begin);
    Some((slot(begin), slot(last)))
}

fn places(unit: Unit<'_>, entry: &Entry, scope: &Scope, spans: &[Span]) -> Vec<Place> {
    let mut found = Vec::new();
    let Some(value) = entry.attr_value(gimli::DW_AT_location) else {
        return found;
    };
    if let AttributeValue::Exprloc(expression) = value {
        if let Some(kept) = kept(unit, expression) {
            found.extend(scope.ranges.iter().map(|(start, end)| Place {
                start: *start,
                end: *end,
                kept,
            }));
        }
        return found;
    }
    let Ok(Some(mut list)) = unit.attr_locations(value) else {
        return found;
    };
    while let Ok(Some(one)) = list.next() {
        let Some((start, end)) = slots(one.range.begin, one.range.end, spans) else {
            continue;
        };
        if let Some(kept) = kept(unit, one.data) {
            found.push(Place { start, end, kept });
        }
        if found.len() >= MOST_PLACES {
            break;
        }
    }
    found
}

/// An expression of one operation: a register, or an offset in the frame.
fn kept(unit: Unit<'_>, expression: gimli::Expression<Reader>) -> Option<Kept> {
    let mut operations = expression.operations(unit.encoding());
    let first = operations.next().ok()??;
    if operations.next().ok()?.is_some() {
        return None;
    }
    match first {
        Operation::Register { register } => Some(Kept::Register(register.0)),
        Operation::FrameOffset { offset } => Some(Kept::Frame(offset)),
        _ => None,
    }
}

type Typed = (String, u64, Vec<(String, u64, u64)>);

/// Name, bytes and fields of an entry's type; names that stand for types are followed.
fn typed(unit: Unit<'_>, entry: &Entry) -> Typed {
    let mut name = String::new();
    let mut size = 0;
    let mut at = type_of(unit, entry);
    for _ in 0..MOST_LINKS {
        let Some(one) = at else { break };
        if name.is_empty() {
            name = own_text(unit, &one).unwrap_or_default();
        }
        size = own_number(&one, gimli::DW_AT_byte_size).unwrap_or(size);
        match one.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_class_type => {
                return (name, size, fields(unit, &one));
            }
            gimli::DW_TAG_array_type => {
                let each = type_of(unit, &one).map_or(0, |each| bytes(unit, &each));
                return (name, each.saturating_mul(count(unit, &one)), Vec::new());
            }
            gimli::DW_TAG_typedef | gimli::DW_TAG_const_type | gimli::DW_TAG_volatile_type => {
                at = type_of(unit, &one);
            }
            _ => break,
        }
    }
    (name, size, Vec::new())
}

fn own_text(unit: Unit<'_>, entry: &Entry) -> Option<String> {
    let text = unit
        .attr_string(entry.attr_value(gimli::DW_AT_name)?)
        .ok()?;
    text.to_string_lossy()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

fn own_number(entry: &Entry, which: gimli::DwAt) -> Option<u64> {
    entry.attr_value(which)?.udata_value()
}

fn type_of(unit: Unit<'_>, entry: &Entry) -> Option<Entry> {
    line_of(unit, entry)
        .iter()
        .find_map(|one| match one.attr_value(gimli::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => unit.entry(offset).ok(),
            _ => None,
        })
}

fn bytes(unit: Unit<'_>, entry: &Entry) -> u64 {
    let mut at = Some(entry.clone());
    for _ in 0..MOST_LINKS {
        let Some(one) = at else { break };
        if let Some(size) = own_number(&one, gimli::DW_AT_byte_size) {
            return size;
        }
        if one.tag() == gimli::DW_TAG_pointer_type {
            return 8;
        }
        at = type_of(unit, &one);
    }
    0
}

/// Elements of an array, its dimensions multiplied.
fn count(unit: Unit<'_>, entry: &Entry) -> u64 {
    let mut found: u64 = 1;
    each_child(unit, entry, |child| {
        if child.tag() == gimli::DW_TAG_subrange_type {
            let number = own_number(child, gimli::DW_AT_count).or_else(|| {
                own_number(child, gimli::DW_AT_upper_bound).map(|last| last.saturating_add(1))
            });
            found = found.saturating_mul(number.unwrap_or(0));
        }
    });
    found
}

fn fields(unit: Unit<'_>, entry: &Entry) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    each_child(unit, entry, |child| {
        if child.tag() == gimli::DW_TAG_member && found.len() < MOST_FIELDS {
            let offset = own_number(child, gimli::DW_AT_data_member_location);
            let size = type_of(unit, child).map_or(0, |one| typed_size(unit, &one));
            if let Some(offset) = offset {
                found.push((own_text(unit, child).unwrap_or_default(), offset, size));
            }
        }
    });
    found
}

fn typed_size(unit: Unit<'_>, entry: &Entry) -> u64 {
    if entry.tag() == gimli::DW_TAG_array_type {
        let each = type_of(unit, entry).map_or(0, |each| bytes(unit, &each));
        return each.saturating_mul(count(unit, entry));
    }
    bytes(unit, entry)
}

fn each_child(unit: Unit<'_>, entry: &Entry, mut with: impl FnMut(&Entry)) {
    let Ok(mut entries) = unit.entries_at_offset(entry.offset()) else {
        return;
    };
    let Ok(Some(first)) = entries.next_dfs() else {
        return;
    };
    let depth = first.depth();
    for _ in 0..MOST_CHILDREN {
        let Ok(Some(one)) = entries.next_dfs() else {
            break;
        };
        if one.depth() <= depth {
            break;
        }
        if one.depth() == depth + 1 {
            with(one);
        }
    }
}
