"""``python -m projects.image.linear_probe``"""

import sys

from projects.image.linear_probe.cli import main

if __name__ == "__main__":
    sys.exit(main())
