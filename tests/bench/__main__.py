"""`make bench`: print each ratio on a line."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.bench import engine, latency, listing, metrics, postgres  # noqa: E402

if __name__ == "__main__":
    engine.main()
    postgres.main()
    latency.main()
    listing.main()
    metrics.main()
