//! BTF: read, write, query, and CO-RE matching.
