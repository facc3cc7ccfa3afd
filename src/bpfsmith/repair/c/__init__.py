"""Changes to C programs, by class of the cause: where the edit is local."""

from __future__ import annotations
