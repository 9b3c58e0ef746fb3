"""``python -m minidl``: the same as the command ``minidl``."""

import sys

from minidl.cli import main

sys.exit(main())
