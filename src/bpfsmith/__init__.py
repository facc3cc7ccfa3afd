"""bpfsmith: the forge for eBPF."""

__version__ = "0.1.0"
