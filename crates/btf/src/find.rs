//! Finding types by name: a vector search for the first few, a hash index once there are many.
use std::collections::HashMap;

/// Own types by full name.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    pub(crate) by_name: HashMap<u64, Vec<u32>>,
}
