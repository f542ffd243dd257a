"""``python -m projects.point_cloud.pretrain``"""

import sys

from projects.point_cloud.pretrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
