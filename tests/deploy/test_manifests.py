"""Manifests of Kubernetes have the fields of their kinds, name only what exists, and give commands that there are."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_manifests as manifests
import pytest
import typer.main
import yaml
from kubernetes_manifests import DOCKERFILE, FOLDER, README, ROOT, Manifest, within
from samples import interruptible, surroundings

from mmsearch.cli.app import COMMANDS, app
from mmsearch.config import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALL = manifests.read()
TOML = "/etc/mmsearch/mmsearch.toml"


def one(kind: str) -> Manifest:
    (found,) = [manifest for manifest in ALL if manifest["kind"] == kind]
    return found


def name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def named(kind: str) -> set[str]:
    return {name(manifest) for manifest in ALL if manifest["kind"] == kind}


def settings() -> dict[str, str]:
    (text,) = one("ConfigMap")["data"].values()
    return tomllib.loads(text)


def serve() -> Manifest:
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("manifest", ALL, ids=lambda manifest: f"{manifest['kind']}-{name(manifest)}")
def test_a_manifest_has_the_fields_of_its_kind(manifest: Manifest) -> None:
    manifests.validate(manifest)
    assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "mmsearch"


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("Deployment", lambda spec: spec["template"]["spec"]["containers"][0].update(imagePolicy="Always")),
        ("Deployment", lambda spec: spec["template"]["spec"]["containers"][0]["ports"][0].update(containerPort="http")),
        ("HorizontalPodAutoscaler", lambda spec: spec.pop("maxReplicas")),
        ("Cluster", lambda spec: spec.update(instances="3")),
        ("Cluster", lambda spec: spec["resources"].update(request={})),
        ("ScheduledBackup", lambda spec: spec.update(schedule="0 2 * * *")),
        ("ObjectStore", lambda spec: spec["configuration"].pop("destinationPath")),
        ("RayJob", lambda spec: spec.update(shutdownAfterJob=True)),
        ("RayJob", lambda spec: spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"].update(restart="Never")),
        ("RayJob", lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].update(maxReplicas="50")),
        ("Milvus", lambda spec: spec["components"]["queryNode"].update(replica=3)),
        ("Milvus", lambda spec: spec["components"]["volumes"].append({"emptyDir": {}})),
    ],
)
def test_a_wrong_field_is_found(kind: str, spoil: Callable[[Any], object]) -> None:
    manifest = copy.deepcopy(one(kind))
    manifests.validate(manifest)
    spoil(manifest["spec"])
    with pytest.raises(Exception, match=r"(?i)not|is|required"):
        manifests.validate(manifest)


def test_every_file_is_listed_and_kustomize_takes_them() -> None:
    for folder in (FOLDER, FOLDER / "index"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
        assert sorted([*listed, "kustomization.yaml"]) == sorted(file.name for file in folder.glob("*.yaml"))
        if kubectl := shutil.which("kubectl"):
            made = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True).stdout
            kinds = [manifest["kind"] for manifest in yaml.safe_load_all(made)]
            files = [FOLDER / folder / file for file in listed]
            assert sorted(kinds) == sorted(
                manifest["kind"] for file in files for manifest in yaml.safe_load_all(file.read_text("utf-8"))
            )


def test_every_secret_is_made_by_the_readme_or_by_an_operator() -> None:
    database = name(one("Cluster"))
    there = manifests.made_by_hand()
    there[f"{database}-app"] = {"username", "password"}
    there[f"{database}-ca"] = {"ca.crt"}
    used = {pair for manifest in ALL for pair in manifests.secrets_used(manifest)}
    assert {pair for pair in used if pair[1] not in there.get(pair[0], set())} == set()
    assert {secret for secret, _ in used} == set(there), "a secret that nobody reads"


def test_services_ports_and_accounts_exist() -> None:
    ports = {name(one("Service")): {port["port"] for port in one("Service")["spec"]["ports"]}}
    ports |= {f"{name(one('Cluster'))}-rw": {5432}, f"{name(one('Milvus'))}-milvus": {19530}}  # of operators
    urls = [urlsplit(settings()[part]) for part in ("metadata", "vectors")]
    assert [url.port in ports[str(url.hostname)] for url in urls] == [True, True]
    assert urlsplit(settings()["blobs"]).scheme == "s3"
    container, service = serve(), one("Service")
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (service["spec"]["selector"], one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    assert {probe["tcpSocket"]["port"] for probe in (container["startupProbe"], container["livenessProbe"])} <= names
    (backend,) = within(one("Ingress"), "backend")
    assert backend["service"]["name"] == name(service)
    assert backend["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == name(one("Deployment"))
    assert set(within(ALL, "serviceAccountName")) <= named("ServiceAccount")


def test_the_parts_of_the_database_belong_together() -> None:
    cluster = one("Cluster")
    (plugin,) = cluster["spec"]["plugins"]
    backup = one("ScheduledBackup")["spec"]
    assert plugin["parameters"]["barmanObjectName"] in named("ObjectStore")
    assert (backup["cluster"]["name"], backup["pluginConfiguration"]["name"]) == (name(cluster), plugin["name"])
    url, made = urlsplit(settings()["metadata"]), cluster["spec"]["bootstrap"]["initdb"]
    assert (url.username, url.password, url.path) == (made["owner"], None, f"/{made['database']}")


def test_files_that_are_named_are_mounted() -> None:
    (certificate,) = parse_qs(urlsplit(settings()["metadata"]).query)["sslrootcert"]
    for manifest in ALL:
        for pod in manifests.pods(manifest):
            volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
            for container in pod["containers"]:
                mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
                assert {"/cache", "/tmp"} <= set(mounts)  # all that may be written
                if "env" not in container:
                    continue  # it hands a job in, and reads no library
                sources = mounts["/etc/mmsearch"]["projected"]["sources"]
                (library,) = [source["configMap"]["name"] for source in sources if "configMap" in source]
                assert library in named("ConfigMap")
                files = {f"/etc/mmsearch/{file}" for file in one("ConfigMap")["data"]}
                files |= {f"/etc/mmsearch/{item['path']}" for items in within(sources, "items") for item in items}
                assert {TOML, certificate} == files


def test_pods_of_mmsearch_have_no_rights() -> None:
    user = re.search(r"USER (\d+):(\d+)", DOCKERFILE)
    assert user is not None
    found = [pod for manifest in ALL for pod in manifests.pods(manifest)]
    assert len(found) == 5  # the server; who hands the job in, the head, workers with and without GPUs
    for pod in found:
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, int(user[1]))
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_no_secret_stands_in_a_manifest() -> None:
    for variable in (variable for environment in within(ALL, "env") for variable in environment):
        assert set(variable) == {"name", "valueFrom"}, variable
        assert set(variable["valueFrom"]) == {"secretKeyRef"}
        known = {f"MMSEARCH_{field.name.upper()}" for field in fields(Settings)} | {"MMSEARCH_TOKEN"}
        assert not variable["name"].startswith("MMSEARCH_") or variable["name"] in known


def parsed(words: list[str]) -> dict[str, Any]:
    """What the command line makes of these words.  Raises an error of usage."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = next(name for name in (" ".join(words[:2]), words[0]) if name in commands)  # some have two words
    return dict(commands[name].make_context(name, words[len(name.split()) :]).params)


def test_serve_is_called_as_it_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEARCH_TOKEN", "a token that is long enough")
    given = parsed(serve()["args"])
    assert (given["library"], given["host"], given["read_only"]) == (TOML, "0.0.0.0", True)
    (port,) = serve()["ports"]
    assert f"EXPOSE {given['port']}\n" in DOCKERFILE
    assert given["port"] == port["containerPort"]
    hosts = {rule["host"] for rule in one("Ingress")["spec"]["rules"]}
    assert hosts | {name(one("Service"))} == set(given["allow_host"])
    assert hosts == {host for tls in one("Ingress")["spec"]["tls"] for host in tls["hosts"]}


@pytest.mark.skipif("cluster index" not in COMMANDS, reason="mmsearch cluster index is not there yet")
def test_the_job_is_called_as_it_wants_it() -> None:
    program, *words = shlex.split(one("RayJob")["spec"]["entrypoint"])
    assert program == "mmsearch"
    given = parsed(words)
    assert (given["library"], given["address"]) == (TOML, "auto")


def test_the_job_is_a_job_over_s3_with_this_library() -> None:
    words = shlex.split(one("RayJob")["spec"]["entrypoint"])
    assert words[:3] == ["mmsearch", "cluster", "index"]
    assert words[3].startswith("s3://")
    assert words[4:] == ["--address", "auto", "--library", TOML]  # the cluster in which it runs, none of its own
    for group in one("RayJob")["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_images_are_built_as_the_manifests_want_them() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    builds = re.findall(r"--build-arg EXTRAS=([\w,-]+)", README + DOCKERFILE)
    assert len(builds) == 3
    for names in builds:
        assert set(names.split(",")) <= set(extras)
        assert {"cluster", "milvus", "web", "telemetry"} <= set(names.split(","))
    versions = set(re.findall(r"ray\[default\]==([\d.]+)", README + DOCKERFILE))
    assert versions == {one("RayJob")["spec"]["rayClusterSpec"]["rayVersion"]}
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"--build-arg (\w+)", README + DOCKERFILE)) == arguments


def test_the_readiness_probe_sees_a_server_that_answers(tmp_path: Path) -> None:
    token = "a token that is long enough"
    command = [sys.executable, "-m", "mmsearch.cli", "serve", "--port", "0", "--library", str(tmp_path / "served")]
    environment = surroundings(tmp_path, {"MMSEARCH_TOKEN": token})
    _, *words = serve()["readinessProbe"]["exec"]["command"]
    with interruptible(), subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = urlsplit(process.stdout.readline()).port
            assert (":7878/" in words[-1], "timeout=3" in words[-1]) == (True, True)
            slow = words[-1].replace("timeout=3", "timeout=120")  # this machine may be busy
            probe = [sys.executable, *words[:-1], slow.replace(":7878/", f":{port}/")]
            assert subprocess.run(probe, env=environment, check=False).returncode == 0
            other = environment | {"MMSEARCH_TOKEN": "another token, as long"}
            refused = subprocess.run(probe, env=other, check=False, capture_output=True, text=True)
            assert (refused.returncode, "401" in refused.stderr) == (1, True)
        finally:
            process.kill()
    gone = subprocess.run(probe, env=environment, check=False, capture_output=True, text=True)
    assert (gone.returncode, "refused" in gone.stderr) == (1, True)


def test_the_readme_says_that_nothing_was_run() -> None:
    assert "was run on a cluster" in README
