//! A type as C: its full definition, with the types it mentions by name.
use std::cell::Cell;
use std::fmt::Write as _;

use crate::{Btf, Error, Kind, Result, Type};

/// Anonymous types are written where they stand, so hostile ones could grow without end.
const MAX_TEXT: usize = 4 << 20;
const MAX_NESTING: u32 = 64;
/// Types looked at for alignment in one definition; `task_struct` takes some ten thousand.
const MAX_VISITS: u32 = 1 << 22;

impl Btf {
    /// The C definition of a type: struct with offsets honoured (bit fields, padding, packing), enum, typedef,
    /// function prototype, variable, or section as a list of its variables.
    ///
    /// # Errors
    /// An id that does not exist, and types nested without end.
    pub fn c_decl(&self, id: u32) -> Result<String> {
        C::new(self).definition(id)
    }

    /// The type as it stands in a cast: `struct task_struct *`.
    ///
    /// # Errors
    /// As [`Btf::c_decl`].
    pub fn c_type(&self, id: u32) -> Result<String> {
        C::new(self).declare(id, "", 0)
    }
}

/// What one definition is written from, and what is left of the work it may take.
struct C<'a> {
    btf: &'a Btf,
    visits: Cell<u32>,
}

impl<'a> C<'a> {
    fn new(btf: &'a Btf) -> Self {
        Self {
            btf,
            visits: Cell::new(MAX_VISITS),
        }
    }

    fn definition(&self, id: u32) -> Result<String> {
        let Some(ty) = self.btf.get(id) else {
            return Err(Error::new(
                format!("type {id} does not exist"),
                "C rendering",
            ));
        };
        let mut text = match ty.kind() {
            Kind::Struct | Kind::Union => self.composite(ty, 0)?,
            Kind::Enum | Kind::Enum64 => self.enumeration(ty, 0),
            Kind::Typedef => format!(
                "typedef {}",
                self.declare(ty.raw_size_or_type(), &ty.name(), 0)?
            ),
            Kind::Func => {
                let storage = match ty.linkage() {
                    Some(0) => "static ",
                    Some(2) => "extern ",
                    _ => "",
                };
                format!(
                    "{storage}{}",
                    self.declare(ty.raw_size_or_type(), &ty.name(), 0)?
                )
            }
            Kind::Var => {
                let storage = match ty.linkage() {
                    Some(0) => "static ",
                    Some(2) => "extern ",
                    _ => "",
                };
                format!(
                    "{storage}{}",
                    self.declare(ty.raw_size_or_type(), &ty.name(), 0)?
                )
            }
            Kind::Datasec => {
                let mut text = format!(
                    "/* section {}, {} bytes */",
                    ty.name(),
                    ty.raw_size_or_type()
                );
                for var in ty.section_vars() {
                    let _ = write!(text, "\n{}", self.c_decl_of_var(var.type_id)?);
                    let _ = write!(text, " /* offset {}, {} bytes */", var.offset, var.size);
                    self.check(&text)?;
                }
                return Ok(text);
            }
            Kind::DeclTag => {
                return Ok(format!(
                    "/* {} on type {} */",
                    attribute("btf_decl_tag", ty),
                    ty.raw_size_or_type()
                ));
            }
            Kind::Fwd => format!(
                "{} {}",
                if ty.kind_flag() { "union" } else { "struct" },
                ty.name()
            ),
            _ => self.declare(id, "", 0)?,
        };
        for tag in self
            .btf
            .own_types()
            .filter(|tag| tag.kind() == Kind::DeclTag && tag.raw_size_or_type() == id)
        {
            if tag.component_idx() == Some(-1) {
                let _ = write!(text, " {}", attribute("btf_decl_tag", tag));
                self.check(&text)?;
            }
        }
        text.push(';');
        Ok(text)
    }

    /// One line of a section: only variables stand there, so this goes no deeper.
    fn c_decl_of_var(&self, id: u32) -> Result<String> {
        match self.btf.get(id) {
            Some(var) if var.kind() == Kind::Var => Ok(format!(
                "{};",
                self.declare(var.raw_size_or_type(), &var.name(), 0)?
            )),
            Some(func) if func.kind() == Kind::Func => Ok(format!(
                "{};",
                self.declare(func.raw_size_or_type(), &func.name(), 0)?
            )),
            _ => Ok(format!("/* type {id} */")),
        }
    }

    fn spend(&self, visits: u32) {
        self.visits.set(self.visits.get().saturating_sub(visits));
    }

    fn check(&self, text: &str) -> Result<()> {
        if self.visits.get() == 0 {
            return Err(Error::new(
                "the types in it nest without end",
                "C rendering",
            ));
        }
        if text.len() > MAX_TEXT {
            return Err(Error::new("the definition grows over 4 MiB", "C rendering"));
        }
        Ok(())
    }

    /// A declaration of `name` with type `id`: from the inside out, as C reads. No `;`.
    fn declare(&self, id: u32, name: &str, depth: u32) -> Result<String> {
        if depth > MAX_NESTING {
            return Err(Error::new(
                format!("types nest deeper than {MAX_NESTING} levels"),
                "C rendering",
            ));
        }
        let (mut id, mut inner) = (id, name.to_owned());
        let mut qualifiers = Vec::new();
        // True when `inner` is a pointer declarator, which arrays and functions must wrap in parentheses.
        let mut pointer = false;
        for _ in 0..MAX_NESTING * 4 {
            self.check(&inner)?;
            let Some(ty) = self.btf.get(id) else {
                return Err(Error::new(
                    format!("type {id} does not exist"),
                    "C rendering",
                ));
            };
            let word = ty.raw_size_or_type();
            match ty.kind() {
                Kind::Const => qualifiers.push("const".to_owned()),
                Kind::Volatile => qualifiers.push("volatile".to_owned()),
                Kind::Restrict => qualifiers.push("restrict".to_owned()),
                Kind::TypeTag => qualifiers.push(attribute("btf_type_tag", ty)),
                Kind::Ptr => {
                    inner = join(&format!("*{}", spaced(&qualifiers)), &inner);
                    qualifiers.clear();
                    pointer = true;
                }
                Kind::Array => {
                    let array = ty.array();
                    let count = array.map_or(0, |array| array.count);
                    inner = if pointer {
                        format!("({inner})[{count}]")
                    } else {
                        format!("{inner}[{count}]")
                    };
                    pointer = false;
                    id = array.map_or(0, |array| array.element);
                    continue;
                }
                Kind::FuncProto => {
                    let params = self.parameters(ty, depth)?;
                    inner = if pointer {
                        format!("({inner})({params})")
                    } else {
                        format!("{inner}({params})")
                    };
                    pointer = false;
                    qualifiers.clear();
                }
                _ => {
                    let base = join(spaced(&qualifiers).trim_end(), &self.specifier(ty, depth)?);
                    return Ok(join(&base, &inner));
                }
            }
            id = word;
        }
        Err(Error::new(
            format!("type {id} refers to itself"),
            "C rendering",
        ))
    }

    fn parameters(&self, proto: Type<'_>, depth: u32) -> Result<String> {
        if proto.vlen() == 0 {
            return Ok("void".into());
        }
        let mut out = String::new();
        for (index, param) in proto.params().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            if param.type_id == 0 {
                out.push_str("...");
            } else {
                out.push_str(&self.declare(param.type_id, &param.name(), depth + 1)?);
            }
            self.check(&out)?;
        }
        Ok(out)
    }

    /// The words in front of a declarator: a name, or an anonymous type in full.
    fn specifier(&self, ty: Type<'_>, depth: u32) -> Result<String> {
        let name = ty.name();
        Ok(match ty.kind() {
            Kind::Void => "void".into(),
            Kind::Struct | Kind::Union if name.is_empty() => self.composite(ty, depth)?,
            Kind::Enum | Kind::Enum64 if name.is_empty() => self.enumeration(ty, depth),
            Kind::Struct => format!("struct {name}"),
            Kind::Union => format!("union {name}"),
            Kind::Enum | Kind::Enum64 => format!("enum {name}"),
            Kind::Fwd => format!("{} {name}", if ty.kind_flag() { "union" } else { "struct" }),
            Kind::Int | Kind::Float | Kind::Typedef => name.into_owned(),
            kind => format!("/* {} */ void", kind.lower()),
        })
    }

    fn enumeration(&self, ty: Type<'_>, depth: u32) -> String {
        let indent = "\t".repeat(depth as usize);
        let mut out = join("enum", &ty.name());
        out.push_str(" {\n");
        for it in ty.enumerators() {
            let _ = match (ty.kind_flag(), ty.kind()) {
                (true, _) => writeln!(out, "{indent}\t{} = {},", it.name(), it.value as i64),
                (false, Kind::Enum64) => {
                    writeln!(out, "{indent}\t{} = {}ULL,", it.name(), it.value)
                }
                (false, _) => writeln!(out, "{indent}\t{} = {},", it.name(), it.value),
            };
        }
        out.push_str(&indent);
        out.push('}');
        match ty.size() {
            Some(1) => out.push_str(" __attribute__((mode(byte)))"),
            Some(2) => out.push_str(" __attribute__((mode(HI)))"),
            Some(8) if ty.kind() == Kind::Enum => out.push_str(" __attribute__((mode(word)))"),
            _ => {}
        }
        out
    }

    fn composite(&self, ty: Type<'_>, depth: u32) -> Result<String> {
        if depth > MAX_NESTING {
            return Err(Error::new(
                format!("types nest deeper than {MAX_NESTING} levels"),
                "C rendering",
            ));
        }
        let union = ty.kind() == Kind::Union;
        let indent = "\t".repeat(depth as usize);
        let mut out = join(if union { "union" } else { "struct" }, &ty.name());
        out.push_str(" {\n");
        let size = u64::from(ty.raw_size_or_type()) * 8;
        let packed = self.is_packed(ty);
        let mut end = 0_u64; // bits used so far
        for member in ty.members() {
            let start = u64::from(member.bit_offset);
            if !union {
                self.pad(
                    &mut out,
                    &indent,
                    (end, start),
                    self.align_of(member.type_id, packed),
                    member.bitfield_size,
                );
            }
            let mut line = self.declare(member.type_id, &member.name(), depth + 1)?;
            let bits = match member.bitfield_size {
                0 => u64::from(self.btf.size_of(member.type_id).unwrap_or_default()) * 8,
                bits => {
                    let _ = write!(line, ": {bits}");
                    u64::from(bits)
                }
            };
            let _ = writeln!(out, "{indent}\t{line};");
            end = start.saturating_add(bits);
            self.check(&out)?;
        }
        if !union {
            let align = if packed { 1 } else { self.natural_align(ty) };
            self.pad(&mut out, &indent, (end, size), align, 0);
        }
        out.push_str(&indent);
        out.push('}');
        if packed {
            out.push_str(" __attribute__((packed))");
        }
        Ok(out)
    }

    /// Says and fills a hole: with named bytes where the compiler would not leave it by itself.
    fn pad(&self, out: &mut String, indent: &str, hole: (u64, u64), align: u64, bitfield: u32) {
        let (end, start) = hole;
        let Some(bits) = start.checked_sub(end).filter(|&bits| bits > 0) else {
            return;
        };
        let natural = end.next_multiple_of(align.max(1) * 8);
        if bitfield == 0 && natural == start {
            let _ = match bits % 8 {
                0 => writeln!(out, "{indent}\t/* {} bytes hole */", bits / 8),
                _ => writeln!(out, "{indent}\t/* {bits} bits hole */"),
            };
            return;
        }
        let whole = end.next_multiple_of(8).min(start);
        if whole > end {
            let _ = writeln!(out, "{indent}\tunsigned char: {};", whole - end);
        }
        if start - whole >= 8 {
            let _ = writeln!(
                out,
                "{indent}\tunsigned char __pad{}[{}];",
                whole / 8,
                (start - whole) / 8
            );
        }
        if (start - whole) % 8 != 0 {
            let _ = writeln!(out, "{indent}\tunsigned char: {};", (start - whole) % 8);
        }
    }

    /// True when some member lies where its alignment forbids, or the size is no multiple of the alignment.
    fn is_packed(&self, ty: Type<'_>) -> bool {
        let unaligned = |member: crate::Member<'_>| {
            member.bitfield_size == 0
                && u64::from(member.bit_offset) % (self.align_of(member.type_id, false) * 8) != 0
        };
        u64::from(ty.raw_size_or_type()) % self.natural_align(ty) != 0
            || ty.members().any(unaligned)
    }

    /// By the largest member; bit fields count by their declared type unless unnamed.
    fn natural_align(&self, ty: Type<'_>) -> u64 {
        ty.members()
            .filter(|member| member.bitfield_size == 0 || member.name_off != 0)
            .map(|member| self.align_of(member.type_id, false))
            .max()
            .unwrap_or(1)
    }

    /// Bytes a type is aligned to; structs by their largest member, a few levels down.
    fn align_of(&self, id: u32, packed: bool) -> u64 {
        if packed {
            return 1;
        }
        let mut visits = 4096; // Hostile structs could fan out at each level.
        self.align_at(id, 8, &mut visits)
    }

    fn align_at(&self, id: u32, depth: u32, visits: &mut u32) -> u64 {
        let Some((ty, steps)) = self.btf.resolve_counted(id) else {
            self.spend(256); // As long as the longest chain followed.
            return 1;
        };
        self.spend(steps + 1);
        if self.visits.get() == 0 {
            return 1;
        }
        let word = u64::from(ty.raw_size_or_type());
        match ty.kind() {
            Kind::Ptr => u64::from(self.btf.pointer_size()),
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => {
                word.clamp(1, 16).next_power_of_two()
            }
            Kind::Array => match (depth, ty.array()) {
                (1.., Some(array)) => self.align_at(array.element, depth - 1, visits),
                _ => 1,
            },
            Kind::Struct | Kind::Union if depth > 0 => {
                let mut align = 1;
                for member in ty.members() {
                    let Some(left) = visits.checked_sub(1) else {
                        break;
                    };
                    *visits = left;
                    let own = match member.bitfield_size {
                        0 => self.align_at(member.type_id, depth - 1, visits),
                        _ => 1,
                    };
                    if u64::from(member.bit_offset) % (own * 8) != 0 {
                        return 1; // A packed struct may stand anywhere.
                    }
                    align = align.max(own);
                }
                if word.is_multiple_of(align) { align } else { 1 }
            }
            _ => 1,
        }
    }
}

fn attribute(word: &str, tag: Type<'_>) -> String {
    if tag.kind_flag() {
        format!("__attribute__(({}))", tag.name())
    } else {
        format!("__attribute__(({word}(\"{}\")))", tag.name())
    }
}

fn spaced(words: &[String]) -> String {
    words.iter().rev().fold(String::new(), |mut out, word| {
        out.push_str(word);
        out.push(' ');
        out
    })
}

/// Two parts with a blank between, unless one is empty or the second one binds to the first (`*`).
fn join(left: &str, right: &str) -> String {
    match (left.is_empty(), right.is_empty()) {
        (true, _) => right.to_owned(),
        (_, true) => left.trim_end().to_owned(),
        _ if left.ends_with('*') => format!("{left}{right}"),
        _ if left.ends_with(' ') => format!("{left}{right}"),
        _ => format!("{left} {right}"),
    }
}
