"""axe-core as the npm registry has it: `python -m tests.axe` brings it beside the tools that pip brings."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Final

VERSION: Final = "4.14.1"
#: As the registry says it, so that nothing else is taken for it.
SHA512: Final = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
ADDRESS: Final = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
SCRIPT: Final = Path(sys.prefix) / f"axe-core-{VERSION}.min.js"


def main() -> None:
    if SCRIPT.exists():
        return
    with urllib.request.urlopen(ADDRESS, timeout=60) as answer:
        packed = answer.read()
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != SHA512:
        raise SystemExit(f"{ADDRESS} is not the file that is known.")
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        half = SCRIPT.with_suffix(".part")
        half.write_bytes(script.read())
    half.rename(SCRIPT)


if __name__ == "__main__":
    main()
