"""Command lines: Hydra, lines in and out, errors in one line, exit codes, sweeps."""
