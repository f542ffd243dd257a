"""``python -m projects.cli``"""

import sys

from projects.cli import main

if __name__ == "__main__":
    sys.exit(main())
