"""axe-core as the npm registry has it, beside the tools that pip brings."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe

VERSION: Final = "4.14.1"
#: As the registry says it, so that nothing else is taken for it.
SHA512: Final = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
ADDRESS: Final = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
SCRIPT: Final = Path(sys.prefix) / f"axe-core-{VERSION}.min.js"


def bring() -> None:
    """Bring it where it is not here yet; without the registry say so, and its tests are skipped."""
    if SCRIPT.exists():
        return
    try:
        with urllib.request.urlopen(ADDRESS, timeout=60) as answer:
            packed = answer.read()
    except OSError as error:
        print(f"{ADDRESS} can't be had ({error}); its tests are skipped.")
        return
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != SHA512:
        raise SystemExit(f"{ADDRESS} is not the file that is known.")
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        half = SCRIPT.with_suffix(".part")
        half.write_bytes(script.read())
    half.rename(SCRIPT)


def runner() -> Axe:
    if not SCRIPT.exists():
        pytest.skip("axe-core is not here: make test brings it from the npm registry.")
    return Axe.from_file(SCRIPT)
