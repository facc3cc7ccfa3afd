"""Real kernels on demand: QEMU guests that boot once and are copied in a tenth of a second, without root."""

from __future__ import annotations

__all__: list[str] = []
