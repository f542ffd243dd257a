"""``python -m projects.audio.pretrain``"""

import sys

from projects.audio.pretrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
