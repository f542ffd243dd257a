"""``python -m projects.point_cloud.segment``"""

import sys

from projects.point_cloud.segment.cli import main

if __name__ == "__main__":
    sys.exit(main())
