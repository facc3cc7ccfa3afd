//! What older kernels lack of BTF, and what stands in for it: libbpf's choices.
use crate::mend::LONG;
use crate::{Draft, Kind};

/// What a kernel may lack of BTF, in libbpf's and our words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a set of features")]
pub struct Lacking {
    /// FUNC and FUNC_PROTO (5.0).
    pub func: bool,
    /// Linkage of FUNC (5.6).
    pub func_global: bool,
    /// VAR and DATASEC (5.2).
    pub datasec: bool,
    /// FLOAT (5.13).
    pub float: bool,
    /// DECL_TAG (5.16).
    pub decl_tag: bool,
    /// TYPE_TAG (5.17).
    pub type_tag: bool,
    /// ENUM64 and signed enums (6.0).
    pub enum64: bool,
    /// DATASEC names of any printable characters, such as `?struct_ops` (6.11).
    pub qmark_datasec: bool,
    /// Names of up to 511 bytes (6.1), else 127.
    pub long_names: bool,
}

impl Lacking {
    /// The words [`Lacking::set`] knows.
    pub const WORDS: [&str; 9] = [
        "func",
        "func_global",
        "datasec",
        "float",
        "decl_tag",
        "type_tag",
        "enum64",
        "qmark_datasec",
        "long_names",
    ];

    /// Sets a feature by its word; false when there is none of that name.
    pub fn set(&mut self, word: &str) -> bool {
        let flag = match word {
            "func" => &mut self.func,
            "func_global" => &mut self.func_global,
            "datasec" => &mut self.datasec,
            "float" => &mut self.float,
            "decl_tag" => &mut self.decl_tag,
            "type_tag" => &mut self.type_tag,
            "enum64" => &mut self.enum64,
            "qmark_datasec" => &mut self.qmark_datasec,
            "long_names" => &mut self.long_names,
            _ => return false,
        };
        *flag = true;
        true
    }
}

/// A type nothing needs becomes an INT of one byte.
pub(crate) fn opaque(draft: &mut Draft, id: u32) {
    draft.set_of(id, 1);
    if draft.kind(id) == Kind::Datasec && draft.vlen(id) == 0 {
        // No room for what an INT adds: a struct of nothing is as good.
        draft.set_name_off(id, 0);
        draft.set_of(id, 0);
        draft.set_info(id, Kind::Struct, false, 0);
        return;
    }
    draft.set_info(id, Kind::Int, false, 0);
    draft.set_word(id, 3, 8);
}

/// Replaces the kinds a kernel lacks by older ones, with the same ids and sizes: libbpf's choices.
pub(crate) fn replace(draft: &mut Draft, lacking: Lacking) {
    if lacking == Lacking::default() {
        return;
    }
    let mut placeholder = None;
    for id in 1..draft.len() {
        let (vlen, flag) = (draft.vlen(id), draft.flag(id));
        match draft.kind(id) {
            Kind::Var if lacking.datasec => opaque(draft, id),
            Kind::DeclTag if lacking.decl_tag => opaque(draft, id),
            Kind::Datasec if lacking.datasec => {
                rename_section(draft, id, |c| c == b'.' || !is_letter(c));
                let vars = draft.elements::<3>(id);
                let members: Vec<[u32; 3]> = vars
                    .iter()
                    .map(|[var, offset, _]| [draft.name_off(*var), *var, offset.wrapping_mul(8)])
                    .collect();
                draft.set_info(id, Kind::Struct, false, vlen);
                draft.set_elements(id, &members);
            }
            Kind::Datasec if lacking.qmark_datasec => {
                rename_section(draft, id, |c| c != b'.' && !is_letter(c));
            }
            Kind::FuncProto if lacking.func => {
                draft.set_info(id, Kind::Enum, false, vlen);
                draft.set_of(id, 4);
            }
            Kind::Func if lacking.func => draft.set_info(id, Kind::Typedef, false, 0),
            Kind::Func if lacking.func_global => draft.set_info(id, Kind::Func, false, 0),
            Kind::Float if lacking.float => {
                draft.set_name_off(id, 0);
                draft.set_info(id, Kind::Struct, false, 0);
            }
            Kind::TypeTag if lacking.type_tag => {
                draft.set_name_off(id, 0);
                draft.set_info(id, Kind::Const, false, 0);
            }
            Kind::Enum if lacking.enum64 && flag => draft.set_info(id, Kind::Enum, false, vlen),
            Kind::Enum64 if lacking.enum64 => {
                let of = match placeholder {
                    Some(of) => of,
                    None => draft.add_int(b"enum64_placeholder", 1),
                };
                placeholder = Some(of);
                draft.set_info(id, Kind::Union, false, vlen);
                for index in 0..vlen {
                    draft.set_part(id, index, 3, 1, of);
                    draft.set_part(id, index, 3, 2, 0);
                }
            }
            _ => {}
        }
    }
}

fn is_letter(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

/// Replaces the characters of a section's name that older kernels refuse.
fn rename_section(draft: &mut Draft, id: u32, refused: impl Fn(u8) -> bool) {
    let old = draft.string(draft.name_off(id), LONG).unwrap_or_default();
    if !old.iter().any(|c| refused(*c)) {
        return;
    }
    let new: Vec<u8> = old
        .iter()
        .map(|c| if refused(*c) { b'_' } else { *c })
        .collect();
    let new = draft.add_string(&new);
    draft.set_name_off(id, new);
}
