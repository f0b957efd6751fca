"""The console's settings for tests: an own data directory, a quick password hasher, static files without a manifest."""

import atexit
import os
import shutil
import tempfile

if "OPS_TEST_DATA_DIR" not in os.environ:
    os.environ["OPS_TEST_DATA_DIR"] = tempfile.mkdtemp(prefix="opsconsole-test-")
    atexit.register(shutil.rmtree, os.environ["OPS_TEST_DATA_DIR"], ignore_errors=True)
os.makedirs(f"{os.environ['OPS_TEST_DATA_DIR']}/static", exist_ok=True)  # WhiteNoise warns where it is missing
os.environ["OPS_DATA_DIR"] = os.environ["OPS_TEST_DATA_DIR"]
os.environ["OPS_DEMO"] = "0"

from opsconsole.settings import *  # noqa: E402, F403
from opsconsole.settings import DATABASES, STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
# A test must not see another's counts or answers.
CACHES = {key: {"BACKEND": "django.core.cache.backends.dummy.DummyCache"} for key in ("default", "answers")}

# Where two processes test at once, each has a database of its own; SQLite's is in the memory of its process anyhow.
if DATABASES["default"]["ENGINE"] == "opsconsole.postgresql":
    DATABASES["default"]["TEST"] = {"NAME": f"test_console_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"}
