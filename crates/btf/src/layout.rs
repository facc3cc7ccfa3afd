//! Sizes and places: what a type is under its names, how large it is, where a field lies.
use crate::{Btf, Kind, Type};

/// libbpf gives up after as many steps, too; a chain this long is a cycle.
pub(crate) const MAX_DEPTH: u32 = 32;

impl Btf {
    /// Follows const, volatile, restrict, type tags and typedefs. `None` for a dangling id or a cycle.
    #[must_use]
    pub fn resolve_modifiers(&self, id: u32) -> Option<Type<'_>> {
        let mut ty = self.get(id)?;
        // A chain longer than the number of types has met one twice.
        let mut left = self.len();
        while ty.kind().is_modifier() || ty.kind() == Kind::Typedef {
            ty = self.get(ty.raw_size_or_type())?;
            left = left.checked_sub(1)?;
        }
        Some(ty)
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
