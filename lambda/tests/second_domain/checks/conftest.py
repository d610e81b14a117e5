"""These checks run only in a clone; see `lambda/tests/second_domain`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
