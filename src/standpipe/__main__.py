"""`python -m standpipe` is `standpipe`."""

import sys

from standpipe.cli import main

if __name__ == "__main__":
    sys.exit(main())
