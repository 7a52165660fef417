"""Record what the chart renders today, which the next release is upgraded from: `python -m tests.golden.record_chart`.

To be run when a release was made. The CRDs are left out: they are upgraded by rules of their own.
"""

import argparse
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helm import chart, render

PREVIOUS = Path(__file__).parent / "chart" / "previous.yaml"
HEADER = "# What the chart of the release before rendered; written by `python -m tests.golden.record_chart`.\n"
VALUES = {"crds": {"install": False}}
KEY_LENGTH = 32

Object = dict[str, Any]


def recorded(objects: list[Object]) -> str:
    """The objects as text, with the keys of Secrets and none of their values, and without hooks."""
    kept = [_without_values(each) for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    return HEADER + yaml.safe_dump_all(kept, sort_keys=False)


def previous() -> list[Object]:
    """The recorded objects, with Secrets that hold something: passwords, their digests, and a key to sign with."""
    objects: list[Object] = list(yaml.safe_load_all(PREVIOUS.read_text()))
    for each in objects:
        if each["kind"] == "Secret":
            each["stringData"] = _filled(each["stringData"])
    return objects


def _without_values(each: Object) -> Object:
    if each["kind"] != "Secret":
        return each
    data = {key: _without_digests(text) if key == "users.acl" else "" for key, text in each["stringData"].items()}
    return {**each, "stringData": data}


def _without_digests(users: str) -> str:
    return re.sub(r" #[0-9a-f]{64} ", " # ", users)


def _filled(data: dict[str, str]) -> dict[str, str]:
    filled = {}
    for key, kept in data.items():
        if key.endswith("-password"):
            filled[key] = sha256(key.encode()).hexdigest()[:KEY_LENGTH]
        elif key.endswith(".pem"):
            command = ["openssl", "genpkey", "-algorithm", "ed25519"]
            filled[key] = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        else:
            filled[key] = kept
    if "users.acl" in filled:
        lines = []
        for line in filled["users.acl"].splitlines():
            name = line.split()[1].removeprefix("porter-")
            password = filled.get(f"{name}-password", "")
            lines.append(line.replace(" # ", f" #{sha256(password.encode()).hexdigest()} "))
        filled["users.acl"] = "\n".join(lines) + "\n"
    return filled


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chart", type=Path, help="another chart than the repository's, with its dependencies")
    source = parser.parse_args().chart or chart()
    PREVIOUS.parent.mkdir(exist_ok=True)
    PREVIOUS.write_text(recorded(render(VALUES, source=source)))


if __name__ == "__main__":
    main()
