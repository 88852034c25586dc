"""`python -m textae COMMAND ...`: the same as the command `textae`."""

import sys

from textae.cli.console import main

if __name__ == "__main__":
    sys.exit(main())
