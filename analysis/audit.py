"""Reads what pip-audit says (JSON on standard input); fails where it found or asked nothing.

pip-audit alone says that nothing is known of packages which the index could not be asked about.

pip-audit --format json | python analysis/audit.py
"""

from __future__ import annotations

import json
import sys

OURS = "omnicost"  # not on the index


def main() -> None:
    """Print a line a vulnerability and one for what could not be asked about."""
    answer = sys.stdin.read()
    if not answer:
        sys.exit("pip-audit gave no answer")
    packages = json.loads(answer)["dependencies"]
    found = [(package, each) for package in packages for each in package.get("vulns", ())]
    for package, each in found:
        cures = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {each['id']}, mended in {cures}")
    # A build of its own (`2.8.0+cpu`) is on no index; its plain version is looked up by hand.
    unasked = [each for each in packages if "skip_reason" in each and each["name"] != OURS]
    strange = [each["name"] for each in unasked if "+" not in each["skip_reason"]]
    if unasked:
        print(f"not asked about: {', '.join(each['name'] for each in unasked)}")
    asked = len(packages) - len(unasked)
    print(f"{asked} packages asked about, {len(found)} vulnerabilities known")
    sys.exit(bool(found or strange))


if __name__ == "__main__":
    main()
