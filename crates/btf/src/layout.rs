//! Sizes and places: what a type is under its names, how large it is, where a field lies.
use crate::{Btf, Kind, Type};

/// libbpf gives up after as many steps, too; a chain this long is a cycle.
pub(crate) const MAX_DEPTH: u32 = 32;

/// Typedefs and qualifiers in a row.
const MAX_NAMES: u32 = 256;

impl Btf {
    /// Follows const, volatile, restrict, type tags and typedefs. `None` for a dangling id, a cycle, or a chain longer
    /// than any header makes.
    #[must_use]
    pub fn resolve_modifiers(&self, id: u32) -> Option<Type<'_>> {
        self.resolve_counted(id).map(|(ty, _)| ty)
    }

    /// As [`Btf::resolve_modifiers`], and how many steps it took.
    #[inline]
    pub(crate) fn resolve_counted(&self, id: u32) -> Option<(Type<'_>, u32)> {
        let mut ty = self.get(id)?;
        for steps in 0..MAX_NAMES {
            if !ty.kind().is_modifier() && ty.kind() != Kind::Typedef {
                return Some((ty, steps));
            }
            ty = self.get(ty.raw_size_or_type())?;
        }
        None
    }

    /// Bytes of a type; follows names, variables and tags and multiplies arrays.
    ///
    /// `None` for what has no size (void, functions, forward declarations), a cycle, a dangling id, or more than
    /// 32 bits can hold.
    #[must_use]
    pub fn size_of(&self, id: u32) -> Option<u32> {
        let mut count = 1_u32;
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            match ty.kind() {
                Kind::Ptr => return count.checked_mul(self.pointer_size()),
                Kind::Array => {
                    let array = ty.array()?;
                    count = count.checked_mul(array.count)?;
                    id = array.element;
                }
                kind if kind.is_modifier()
                    || matches!(kind, Kind::Typedef | Kind::Var | Kind::DeclTag) =>
                {
                    id = ty.raw_size_or_type();
                }
                _ => return count.checked_mul(ty.size()?),
            }
        }
        None
    }
}
