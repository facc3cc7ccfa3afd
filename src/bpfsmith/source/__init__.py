"""Source code as facts: Rust files, Cargo manifests and lock files, and the projects they make up."""

from __future__ import annotations
