"""`make bench`: print each ratio on a line. `make bench ARGS=list` measures one part."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.bench import engine, latency, listing, metrics, polling, postgres  # noqa: E402

PARTS = {
    "engine": engine.main,
    "postgres": postgres.main,
    "latency": latency.main,
    "list": listing.main,
    "polling": polling.main,
    "metrics": metrics.main,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
