//! The C text of a type's name on one line: `unsigned int`, `struct config *`, `char[16]`.
//!
//! `Btf::c_type` spells anonymous types out in full; a table of variables wants `struct {...}`.
use bpfsmith_btf::{Btf, Kind};

/// Modifiers, pointers and arrays followed before giving up: real declarations stay far below.
const DEPTH: usize = 32;
/// Parameters shown of a function type.
const PARAMS: usize = 16;

/// How a variable of this type would be declared, without its name. Hostile chains end in `...`.
pub(crate) fn text(btf: &Btf, type_id: u32) -> String {
    declaration(btf, type_id, 2)
}

/// `nesting`: how many levels of parameter lists are still spelled out.
fn declaration(btf: &Btf, mut id: u32, nesting: usize) -> String {
    let mut quals: Vec<&str> = Vec::new();
    let mut declarator = String::new();
    for _ in 0..DEPTH {
        let Some(one) = btf.get(id) else {
            return format!("type {id}");
        };
        let pointed = declarator.starts_with('*');
        match one.kind() {
            Kind::Const => quals.push("const"),
            Kind::Volatile => quals.push("volatile"),
            Kind::Restrict => quals.push("restrict"),
            Kind::TypeTag | Kind::DeclTag | Kind::Var | Kind::Func => {}
            Kind::Ptr => {
                let own = quals.join(" ");
                quals.clear();
                let gap = if own.is_empty() { "" } else { " " };
                declarator = format!("*{gap}{own}{declarator}");
            }
            Kind::Array => {
                if pointed {
                    declarator = format!("({declarator})");
                }
                let count = one.array().map_or(0, |array| array.count);
                declarator.push_str(&format!("[{count}]"));
                id = one.array().map_or(0, |array| array.element);
                continue;
            }
            Kind::FuncProto => {
                if pointed {
                    declarator = format!("({declarator})");
                }
                declarator.push_str(&params(btf, &one, nesting));
            }
            kind => {
                let base = base(kind, &one.name(), one.kind_flag());
                quals.push(&base);
                let base = quals.join(" ");
                let gap = if declarator.is_empty() || declarator.starts_with('[') {
                    ""
                } else {
                    " "
                };
                return format!("{base}{gap}{declarator}");
            }
        }
        id = one.type_id().unwrap_or(0);
    }
    "...".to_owned()
}

fn base(kind: Kind, name: &str, kind_flag: bool) -> String {
    let word = match kind {
        Kind::Void => return "void".to_owned(),
        Kind::Struct => "struct",
        Kind::Union => "union",
        Kind::Fwd if kind_flag => "union",
        Kind::Fwd => "struct",
        Kind::Enum | Kind::Enum64 => "enum",
        Kind::Datasec => "section",
        _ => return name.to_owned(),
    };
    if name.is_empty() {
        format!("{word} {{...}}")
    } else {
        format!("{word} {name}")
    }
}

fn params(btf: &Btf, proto: &bpfsmith_btf::Type<'_>, nesting: usize) -> String {
    if proto.vlen() == 0 {
        return "(void)".to_owned();
    }
    let Some(nesting) = nesting.checked_sub(1) else {
        return "(...)".to_owned();
    };
    let mut texts: Vec<String> = proto
        .params()
        .take(PARAMS)
        .map(|param| match param.type_id {
            0 => "...".to_owned(),
            id => declaration(btf, id, nesting),
        })
        .collect();
    if proto.params().nth(PARAMS).is_some() {
        texts.push("...".to_owned());
    }
    format!("({})", texts.join(", "))
}
