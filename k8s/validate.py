"""Holds every Kubernetes document of a folder against Kubernetes' own schemas.

`python k8s/validate.py [FOLDER]`: each kustomization is rendered with `kubectl kustomize`; where
there is no kubectl, the documents are checked as they are written. Exits 1 when one has a fault.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

# The newest that the pinned kubernetes-validate ships.
VERSION = "1.37"


class Unreadable(ValueError):
    """Raised when a file or a kustomization is no YAML or can't be rendered; says why."""


def main(folder: Path) -> int:
    faults, checked = 0, 0
    for source, text in _sources(folder):
        try:
            for document in _documents(text):
                checked += 1
                if fault := _fault(document):
                    faults += 1
                    print(f"{source}: {_title(document)}: {fault}", file=sys.stderr)
        except Unreadable as error:
            faults += 1
            print(f"{source}: {error}", file=sys.stderr)
    if not checked and not faults:
        faults = 1
        print(f"{folder}: there is nothing to check.", file=sys.stderr)
    if not faults:
        print(f"{checked} Kubernetes documents are valid for {VERSION}.")
    return 1 if faults else 0


def _sources(folder: Path) -> Iterator[tuple[Path, str | Unreadable]]:
    if shutil.which("kubectl"):
        for path in sorted(folder.rglob("kustomization.yaml")):
            yield path.parent, _rendered(path.parent)
        return
    print("kubectl is missing, so the kustomizations are not rendered; their files are checked.")
    for path in sorted(folder.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield path, path.read_text()


def _rendered(folder: Path) -> str | Unreadable:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    # What kustomize deprecates today it refuses tomorrow.
    return Unreadable(done.stderr.strip()) if done.returncode or done.stderr else done.stdout


def _documents(text: str | Unreadable) -> Iterator[dict[str, Any]]:
    if isinstance(text, Unreadable):
        raise text
    try:
        for document in yaml.safe_load_all(text):
            if not isinstance(document, dict) or not {"apiVersion", "kind"} <= document.keys():
                raise Unreadable(f"no Kubernetes document: {document!r}")
            yield document
    except yaml.YAMLError as error:
        raise Unreadable(str(error)) from None


def _fault(document: dict[str, Any]) -> str | None:
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path)) or 'the document'}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return None


def _title(document: dict[str, Any]) -> str:
    return f"{document['kind']} {document.get('metadata', {}).get('name')}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent))
