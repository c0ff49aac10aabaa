"""The child: `python -m captioner.isolation FD`."""

from __future__ import annotations

import sys

from captioner.isolation.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
