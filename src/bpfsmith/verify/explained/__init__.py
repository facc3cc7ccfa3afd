"""A verifier's log to the explained reason: the message's family, the cause, the chain, what would mend it.

one = explained(parsed(log), program=program)      # the program where there is an object
one.cls, one.line, one.headline                    # missing-null-check, ("src/main.rs", 12), "..."
one.finding()                                      # labels along the chain, for the renderers
"""

from __future__ import annotations

from bpfsmith.verify.explained._make import WHOLE, explained, of_verdict, parsed
from bpfsmith.verify.explained._one import Explained

__all__ = ["WHOLE", "Explained", "explained", "of_verdict", "parsed"]
