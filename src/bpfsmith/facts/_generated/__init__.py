"""Generated tables; see tools/facts."""
