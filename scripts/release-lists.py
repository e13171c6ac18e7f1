#!/usr/bin/env python3
"""Writes the lists of a release: driftwise.cdx.json (CycloneDX) and licences.txt. Part of scripts/release.

release-lists.py FOLDER DIST: FOLDER holds what the build wrote: built.json (the messages of cargo), crates (the list in the
program), metadata (`cargo metadata`) and driftwise.cdx.json (of cargo-cyclonedx). DIST holds the program.

Fails where a crate was compiled and is not listed in the program or among the components, or has no licence.
"""

import hashlib
import json
import os
import pathlib
import sys
import time
import uuid

folder, dist = map(pathlib.Path, sys.argv[1:])


def name_of(crate):
    return f"{crate['name']} {crate['version']}"


def fail(text):
    sys.exit(f"FAILED: {text}")


# Components. cargo-cyclonedx also lists crates of features that are off; only compiled ones stay.
bom = json.loads((folder / "driftwise.cdx.json").read_text())
messages = map(json.loads, (folder / "built.json").read_text().splitlines())
built = {message["package_id"] for message in messages if message["reason"] == "compiler-artifact"}
bom["components"] = [component for component in bom["components"] if component["bom-ref"] in built]
bom["dependencies"] = [
    {**of, "dependsOn": [ref for ref in of.get("dependsOn", []) if ref in built]}
    for of in bom["dependencies"]
    if of["ref"] in built
]
subject = bom["metadata"]["component"]
every = [subject, *bom["components"]]
if len(built) < 100 or {component["bom-ref"] for component in every} != built:
    fail(f"compiled, but no component: {sorted(built - {component['bom-ref'] for component in every})}, of {len(built)}")
for component in every:
    purl = f"pkg:cargo/{component['name']}@{component['version']}"
    if not component["purl"].startswith(purl) or not component.get("licenses"):
        fail(f"a component without package URL or licence: {component}")
names = {name_of(component) for component in every}
listed = set((folder / "crates").read_text().splitlines())
if not names <= listed:
    fail(f"compiled, but not listed in the program: {sorted(names - listed)}")
print(len(names), "components, all listed in the program, which lists besides:", ", ".join(sorted(listed - names)) or "none")

# The same for the same program.
digest = hashlib.sha256((dist / "driftwise").read_bytes()).hexdigest()
subject["hashes"] = [{"alg": "SHA-256", "content": digest}]
bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, digest).urn
bom["metadata"]["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))
text = json.dumps(bom, indent=1).replace(f"path+file://{folder}", "path+file:///driftwise")
(dist / "driftwise.cdx.json").write_text(text + "\n")

# Licences: each text once, under the names of the components that come with it.
texts, without = {}, []
for package in json.loads((folder / "metadata").read_text())["packages"]:
    if package["id"] not in built:
        continue
    line = f"{name_of(package)}: {package['license']}"
    files = sorted(pathlib.Path(package["manifest_path"]).parent.iterdir())
    files = [file for file in files if file.is_file() and file.name.upper().startswith(("LICEN", "COPYING", "NOTICE", "UNLICENSE"))]
    if not files:
        without.append(line)
    for file in files:
        texts.setdefault(file.read_text(errors="replace").strip(), []).append(line)
with open(dist / "licences.txt", "w") as out:
    for text, lines in texts.items():
        out.write("\n".join([*dict.fromkeys(lines), "", text, "", "=" * 80, ""]))
    out.write("\n".join(["Packages without a text of their licence:", *without, ""]))
print(len(texts), "texts of licences;", len(without), "packages have none")
