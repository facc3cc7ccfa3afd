//! Where a field lies: `a.b[3].c` from a type, through anonymous members.
use crate::{Btf, Error, Kind, Member, Result, Type};

/// Anonymous members searched for one name; more is no header file.
const SEARCH_LIMIT: u32 = 1 << 18;
const NESTING_LIMIT: u32 = 64;

/// The place of a field inside its root type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the start of the root type.
    pub bit_offset: u64,
    /// A bit field's own width, else eight times the type's size.
    pub bit_size: u64,
    pub type_id: u32,
    pub bitfield: bool,
}

/// One step of a path.
enum Step<'p> {
    Name(&'p str),
    Index(u64),
}

/// Splits `a.b[3].c`; the rest is `None` when it is no path.
fn next_step(path: &str) -> Option<(Step<'_>, &str)> {
    if let Some(rest) = path.strip_prefix('[') {
        let (number, rest) = rest.split_once(']')?;
        return Some((Step::Index(number.trim().parse().ok()?), rest));
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at_checked(end)?;
    (!name.is_empty()).then_some((Step::Name(name), rest))
}

impl Btf {
    /// The place of `path` in type `id`: members by name, array elements by index, from the type itself on.
    ///
    /// Names, qualifiers and typedefs on the way are seen through; pointers are not followed. An empty path is the
    /// type itself.
    ///
    /// # Errors
    /// The part that is missing, and in which type.
    pub fn place(&self, id: u32, path: &str) -> Result<Place> {
        let fail =
            |message: String| Err(Error::new(message, format!("path `{path}` in type {id}")));
        let (mut at, mut rest) = (id, path);
        let (mut bit_offset, mut bitfield) = (0_u64, 0_u32);
        while !rest.is_empty() {
            let Some((step, left)) = next_step(rest) else {
                return fail(format!("`{rest}` is no member or `[index]`"));
            };
            rest = left;
            let Some(ty) = self.resolve_modifiers(at) else {
                return fail(format!("type {at} does not exist or refers to itself"));
            };
            if bitfield != 0 {
                return fail("a bit field has no parts".into());
            }
            match step {
                Step::Name(name) => {
                    if !ty.kind().is_composite() {
                        return fail(format!(
                            "`{}` has no members, so no `{name}`",
                            self.label(ty)
                        ));
                    }
                    let mut left = SEARCH_LIMIT;
                    let Some((offset, member)) =
                        self.member_named(ty, name.as_bytes(), NESTING_LIMIT, &mut left)
                    else {
                        return fail(format!("`{}` has no member `{name}`", self.label(ty)));
                    };
                    bit_offset = bit_offset.saturating_add(offset);
                    bitfield = member.bitfield_size;
                    at = member.type_id;
                }
                Step::Index(index) => {
                    let Some(array) = ty.array() else {
                        return fail(format!(
                            "`{}` is no array, so no `[{index}]`",
                            self.label(ty)
                        ));
                    };
                    if index >= u64::from(array.count) && array.count != 0 {
                        return fail(format!(
                            "`[{index}]` is outside the array of {}",
                            array.count
                        ));
                    }
                    let Some(size) = self.size_of(array.element) else {
                        return fail(format!(
                            "the elements of type {} have no size",
                            array.element
                        ));
                    };
                    bit_offset =
                        bit_offset.saturating_add(index.saturating_mul(u64::from(size) * 8));
                    at = array.element;
                }
            }
        }
        let bit_size = match bitfield {
            0 => match self.size_of(at) {
                Some(size) => u64::from(size) * 8,
                None if self
                    .resolve_modifiers(at)
                    .is_some_and(|ty| ty.kind() == Kind::Array) =>
                {
                    0
                }
                None => return fail(format!("type {at} has no size")),
            },
            bits => u64::from(bits),
        };
        Ok(Place {
            bit_offset,
            bit_size,
            type_id: at,
            bitfield: bitfield != 0,
        })
    }

    /// The member of that name and its bit offset in `ty`; anonymous members are searched where they stand.
    fn member_named<'a>(
        &'a self,
        ty: Type<'a>,
        name: &[u8],
        depth: u32,
        left: &mut u32,
    ) -> Option<(u64, Member<'a>)> {
        for member in ty.members() {
            *left = left.checked_sub(1)?;
            if self.string_is(member.name_off, name) {
                return Some((u64::from(member.bit_offset), member));
            }
            if depth == 0 || !self.string_is(member.name_off, b"") {
                continue;
            }
            let inner = self
                .resolve_modifiers(member.type_id)
                .filter(|ty| ty.kind().is_composite());
            if let Some((offset, inside)) =
                inner.and_then(|ty| self.member_named(ty, name, depth - 1, left))
            {
                return Some((u64::from(member.bit_offset) + offset, inside));
            }
        }
        None
    }

    /// `struct task_struct`, `int`, `ptr` for messages.
    fn label(&self, ty: Type<'_>) -> String {
        let name = ty.name();
        match (ty.kind(), name.is_empty()) {
            (kind, true) => format!("{} (type {})", kind.lower(), ty.id()),
            (Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64, false) => {
                format!("{} {name}", ty.kind().lower().trim_end_matches("64"))
            }
            (_, false) => name.into_owned(),
        }
    }
}
