"""The manifests of ``deploy/kubernetes``: read, checked against their kinds, and the names that they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
README = (ROOT / "deploy" / "README.md").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
CORE = "1.33"  # of Kubernetes, the oldest that is checked
Manifest = dict[str, Any]

_CUSTOM: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "fixtures" / "custom_kinds.yaml").read_text("utf-8"))


def read() -> list[Manifest]:
    """All objects, of all files but those of kustomize."""
    files = sorted(file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml")
    return [one for file in files for one in yaml.safe_load_all(file.read_text("utf-8"))]


def kind_of(manifest: Manifest) -> str:
    return f"{manifest['apiVersion']} {manifest['kind']}"


def validate(manifest: Manifest) -> None:
    """Raises an error for what its kind does not have."""
    if kind_of(manifest) not in _CUSTOM:
        kubernetes_validate.validate(manifest, CORE, strict=True)
        return
    shape = _CUSTOM[kind_of(manifest)]
    checker = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"core": _core})
    checker(shape).validate(manifest["spec"])
    head = {**{name: manifest[name] for name in manifest if name != "spec"}, "apiVersion": "v1", "kind": "ConfigMap"}
    kubernetes_validate.validate(head, CORE, strict=True)  # metadata


def _core(_: object, shape: str, value: Any, __: object) -> Iterator[jsonschema.ValidationError]:
    """Check a part that is one of Kubernetes' own, in the object around which it stands there."""
    container: Manifest = {"name": "any", "image": "any"}
    pod: Manifest = {"containers": [container]}
    if shape == "pod template":
        pod = value["spec"]
    elif shape == "volumes":
        pod["volumes"] = value
    else:
        container[{"resources": "resources", "volume mounts": "volumeMounts"}.get(shape, "securityContext")] = value
    template = {"metadata": value.get("metadata", {}), "spec": pod} if shape == "pod template" else {"spec": pod}
    try:
        around = {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
        kubernetes_validate.validate(around, CORE, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield jsonschema.ValidationError(str(error))


def within(value: Any, name: str) -> Iterator[Any]:
    """Every value of this name, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from within(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from within(inner, name)


def pods(manifest: Manifest) -> Iterator[Manifest]:
    """The specs of all pods that it makes itself."""
    if manifest["kind"] in ("Deployment", "RayJob"):
        for name in ("template", "submitterPodTemplate"):
            yield from (template["spec"] for template in within(manifest["spec"], name))


def made_by_hand() -> dict[str, set[str]]:
    """Secrets that the README makes, with their keys."""
    text = README.replace("\\\n", " ")
    secrets: dict[str, set[str]] = {}
    for kind, name, rest in re.findall(r"kubectl .*?create secret (generic|tls) ([\w-]+)(.*)", text):
        keys = re.findall(r"--from-(?:literal|file)=([\w.-]+)=", rest)
        secrets[name] = {"tls.crt", "tls.key"} if kind == "tls" else set(keys)
    return secrets


def secrets_used(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Names of secrets with the keys that are read of them."""
    for name in ("secretKeyRef", "accessKeyId", "secretAccessKey", "region"):
        for one in within(manifest, name):
            if isinstance(one, dict):
                yield one["name"], one["key"]
    for volume in within(manifest, "secret"):
        for item in volume["items"]:
            yield volume.get("name", volume.get("secretName")), item["key"]
    for name in within(manifest, "secretRef"):  # of Milvus' operator
        yield from ((name, key) for key in ("accesskey", "secretkey"))
    for tls in within(manifest, "tls"):
        yield from ((one["secretName"], key) for one in tls for key in ("tls.crt", "tls.key"))
