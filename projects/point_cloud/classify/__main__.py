"""``python -m projects.point_cloud.classify``"""

import sys

from projects.point_cloud.classify.cli import main

if __name__ == "__main__":
    sys.exit(main())
