//! The text of `bpftool btf dump FILE format raw`, byte for byte.
use std::fmt::{self, Write};

use crate::{Btf, Error, Kind, Result, Type};

impl Btf {
    /// All own types as bpftool prints them; for a split BTF the base is left out, as bpftool does.
    ///
    /// Names that are not UTF-8 come out as they are, hence bytes.
    ///
    /// # Errors
    /// A text over 32 times as long as the BTF: many types share one endless name.
    pub fn dump_raw(&self) -> Result<Vec<u8>> {
        let limit = self
            .as_bytes()
            .len()
            .saturating_mul(32)
            .saturating_add(1 << 16);
        let mut out = Out {
            buffer: Vec::with_capacity(self.type_section().len().saturating_mul(3)),
            limit,
        };
        for ty in self.own_types() {
            ty.dump(&mut out);
            if out.is_full() {
                return Err(Error::new(
                    format!(
                        "the dump grows over {limit} bytes: names are longer than any compiler makes them"
                    ),
                    format!("BTF type {}", ty.id()),
                ));
            }
        }
        Ok(out.buffer)
    }
}

/// Formats into bytes, up to a limit; writing to a `Vec` cannot fail.
struct Out {
    buffer: Vec<u8>,
    limit: usize,
}

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Out {
    fn is_full(&self) -> bool {
        self.buffer.len() > self.limit
    }

    fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, label: &str, number: u32) {
        self.text(label);
        let mut digits = [0_u8; 10];
        let mut left = number;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            used += 1;
            if left == 0 {
                break;
            }
        }
        self.buffer
            .extend_from_slice(digits.get(10 - used..).unwrap_or_default());
    }

    /// A quoted name as bpftool prints it: placeholders for none and for one outside the strings.
    fn name(&mut self, btf: &Btf, offset: u32) {
        if self.is_full() {
            return;
        }
        self.text("'");
        match (offset, btf.bytes_at(offset)) {
            (0, _) => self.text("(anon)"),
            (_, Some(name)) => self.buffer.extend_from_slice(name),
            (_, None) => self.text("(invalid)"),
        }
        self.text("'");
    }
}

fn linkage(number: u32) -> &'static str {
    match number {
        0 => "static",
        1 => "global",
        2 => "extern",
        _ => "(unknown)",
    }
}

impl crate::Int {
    /// bpftool's word: `SIGNED`, `CHAR`, `BOOL`, `(none)`, or `UNKN` for several at once.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self.encoding {
            0 => "(none)",
            Self::SIGNED => "SIGNED",
            Self::CHAR => "CHAR",
            Self::BOOL => "BOOL",
            _ => "UNKN",
        }
    }
}

impl Type<'_> {
    /// Appends this type's lines as bpftool prints them.
    fn dump(&self, out: &mut Out) {
        let btf = self.btf();
        out.number("[", self.id());
        out.text("] ");
        out.text(self.kind().word());
        out.text(" ");
        out.name(btf, self.name_off());
        self.dump_details(out);
        out.text("\n");
    }

    fn dump_details(&self, out: &mut Out) {
        let btf = self.btf();
        let word = self.raw_size_or_type();
        let sized = |out: &mut Out| {
            out.number(" size=", word);
            out.number(" vlen=", self.vlen());
        };
        match self.kind() {
            Kind::Void => {}
            Kind::Int => {
                let Some(int) = self.int() else { return };
                out.number(" size=", word);
                out.number(" bits_offset=", u32::from(int.offset));
                out.number(" nr_bits=", u32::from(int.bits));
                out.text(" encoding=");
                out.text(int.word());
            }
            Kind::Ptr
            | Kind::Const
            | Kind::Volatile
            | Kind::Restrict
            | Kind::Typedef
            | Kind::TypeTag => {
                out.number(" type_id=", word);
            }
            Kind::Array => {
                let Some(array) = self.array() else { return };
                out.number(" type_id=", array.element);
                out.number(" index_type_id=", array.index);
                out.number(" nr_elems=", array.count);
            }
            Kind::Struct | Kind::Union => {
                sized(out);
                for member in self.members() {
                    out.text("\n\t");
                    out.name(btf, member.name_off);
                    out.number(" type_id=", member.type_id);
                    out.number(" bits_offset=", member.bit_offset);
                    if member.bitfield_size != 0 {
                        out.number(" bitfield_size=", member.bitfield_size);
                    }
                }
            }
            Kind::Enum | Kind::Enum64 => {
                out.text(if self.kind_flag() {
                    " encoding=SIGNED"
                } else {
                    " encoding=UNSIGNED"
                });
                sized(out);
                let suffix = match (self.kind(), self.kind_flag()) {
                    (Kind::Enum, _) => "",
                    (_, true) => "LL",
                    (_, false) => "ULL",
                };
                for it in self.enumerators() {
                    out.text("\n\t");
                    out.name(btf, it.name_off);
                    let _ = if self.kind_flag() {
                        write!(out, " val={}{suffix}", it.value as i64)
                    } else {
                        write!(out, " val={}{suffix}", it.value)
                    };
                }
            }
            Kind::Fwd => out.text(if self.kind_flag() {
                " fwd_kind=union"
            } else {
                " fwd_kind=struct"
            }),
            Kind::Func => {
                out.number(" type_id=", word);
                out.text(" linkage=");
                out.text(linkage(self.vlen()));
            }
            Kind::FuncProto => {
                out.number(" ret_type_id=", word);
                out.number(" vlen=", self.vlen());
                for param in self.params() {
                    out.text("\n\t");
                    out.name(btf, param.name_off);
                    out.number(" type_id=", param.type_id);
                }
            }
            Kind::Var => {
                out.number(" type_id=", word);
                out.text(", linkage=");
                out.text(linkage(self.linkage().unwrap_or_default()));
            }
            Kind::Datasec => {
                sized(out);
                for var in self.section_vars() {
                    out.number("\n\ttype_id=", var.type_id);
                    out.number(" offset=", var.offset);
                    out.number(" size=", var.size);
                    if let Some(ty) = btf.get(var.type_id) {
                        out.text(" (");
                        out.text(ty.kind().word());
                        out.text(" ");
                        out.name(ty.btf(), ty.name_off());
                        out.text(")");
                    }
                }
            }
            Kind::Float => out.number(" size=", word),
            Kind::DeclTag => {
                out.number(" type_id=", word);
                let _ = write!(out, " component_idx={}", self.component_idx().unwrap_or(-1));
            }
        }
    }
}
