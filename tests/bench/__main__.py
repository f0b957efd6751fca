"""`make bench`: print each ratio on a line."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from tests.bench import engine

if __name__ == "__main__":
    engine.main()
