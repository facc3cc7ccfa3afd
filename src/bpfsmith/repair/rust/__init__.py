"""Changes to Rust programs, by class of the cause."""

from __future__ import annotations
