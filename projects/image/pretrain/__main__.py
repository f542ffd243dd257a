"""``python -m projects.image.pretrain``"""

import sys

from projects.image.pretrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
