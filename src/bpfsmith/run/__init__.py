"""Floor 2: loading, links, maps and events. `bpfsmith.load` and `bpfsmith.run` come from here."""
