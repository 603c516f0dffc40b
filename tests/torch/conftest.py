"""The fixtures of tests/e2e, for tests that really run torch."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
