# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Makes the known answers in `v1/` with the second implementation, each checked by its receiving
side before it is written. `--check` compares instead of writing. See README.md."""

import json
import pathlib
import sys

from reference import cases_identity, cases_session

FOLDER = pathlib.Path(__file__).parent / "v1"


def encode(value):
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value))


def main():
    check = "--check" in sys.argv[1:]
    differing = []
    for module in (cases_identity, cases_session):
        for file, page, cases in module.files():
            body = {"format": "waxwing known answers", "version": 1, "specification": page, **cases}
            text = json.dumps(body, indent=1, default=encode) + "\n"
            path = FOLDER / f"{file}.json"
            if check:
                if not path.exists() or path.read_text() != text:
                    differing.append(path.name)
            else:
                path.write_text(text)
            print(f"{path.name}: {len(text)} bytes")
    if differing:
        sys.exit(f"not what the specification gives: {', '.join(differing)}")


main()
