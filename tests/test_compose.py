"""docker-compose.yml, Dockerfile and what is written about them, without Docker."""

from __future__ import annotations

import fnmatch
import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text("utf-8")
NODES = ["qdrant-1", "qdrant-2", "qdrant-3"]


def variables() -> dict[str, str]:
    """Return the variables that the file reads, each with its default, empty if there is none."""
    found = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    for service in SERVICES.values():
        environment = service.get("environment", {})
        found.update({name: "" for name, value in environment.items() if value is None})
    return found


def written(name: str) -> str:
    """Return what the comment at the top says about a variable."""
    comment = "".join(line for line in TEXT.splitlines(keepends=True) if line.startswith("#"))
    entry = re.search(rf"^#   {name} +(.*(?:\n#    +.*)*)", comment, re.MULTILINE)
    assert entry, f"{name} is not documented"
    return re.sub(r"\n# +", " ", entry[1])


# The file


def test_it_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, PROJECT / "docker-compose.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_one_node_and_the_api_are_what_starts_by_itself() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == [
        "qdrant",
        "api",
    ]
    assert [n for n, service in SERVICES.items() if service.get("profiles") == ["cluster"]] == NODES


def test_what_a_service_waits_for_and_keeps_is_there() -> None:
    for name, service in SERVICES.items():
        for other in service.get("depends_on", {}):
            assert "healthcheck" in SERVICES[other], name
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                assert volume.partition(":")[0] in COMPOSE["volumes"]
    kept = [v for service in SERVICES.values() for v in service["volumes"] if isinstance(v, str)]
    assert len({volume.partition(":")[0] for volume in kept}) == len(kept)


def test_ports_are_open_to_this_machine_only_and_apart() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    found = [re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:\d+", port) for port in ports]
    numbers = [match[1] for match in found if match]
    assert len(numbers) == len(ports)
    assert len(set(numbers)) == len(numbers)


def test_images_are_pinned() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert images.pop("api") == f"segsearch:{project['version']}"
    assert len(set(images.values())) == 1
    assert all(re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+", image) for image in images.values())
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_the_nodes_of_a_cluster_know_each_other() -> None:
    first = "http://qdrant-1:6335"
    for name in NODES:
        service = SERVICES[name]
        assert service["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
        command = service["command"]
        assert command[command.index("--uri") + 1] == f"http://{name}:6335"
        assert ("--bootstrap" in command) == (name != "qdrant-1")
        assert name == "qdrant-1" or command[command.index("--bootstrap") + 1] == first


# What is written about it


def test_every_variable_is_documented_with_its_default() -> None:
    operations = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    example = (PROJECT / ".env.example").read_text("utf-8")
    for name, default in variables().items():
        assert name in TEXT.partition("services:")[0]
        said = written(name)
        if default:
            assert f"{default} if unset" in said
        assert f"| `{name}` | {f'`{default}`' if default else 'none'} |" in operations
        assert re.search(rf"^#?{name}={re.escape(default)}$", example, re.MULTILINE), name


def test_every_variable_that_is_documented_is_used() -> None:
    header = TEXT.partition("x-qdrant:")[0]
    operations = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    table = operations.partition("| variable | if unset |")[2].partition("\n\n")[0]
    example = (PROJECT / ".env.example").read_text("utf-8")
    known = set(variables())
    assert set(re.findall(r"^#   ([A-Z_0-9]+)  ", header, re.MULTILINE)) == known
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == known
    assert set(re.findall(r"^#?(\w+)=", example, re.MULTILINE)) == known


# The image


def test_what_the_image_is_built_from_is_there_and_sent() -> None:
    ignore = (PROJECT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]
    copies = re.findall(r"^COPY (?!--from)(.+)", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copies for source in line.split()[:-1]]
    assert "indexer" in sources
    for source in sources:
        assert (PROJECT / source).exists()
        matching = [p for p in patterns if fnmatch.fnmatch(source, p.removeprefix("!"))]
        assert matching[-1].startswith("!"), f"{source} is not sent"
    built = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = built["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"]} <= set(sources)
    sdist = built["targets"]["sdist"]["include"]
    for name in ("Dockerfile", ".dockerignore", ".env.example", "docker-compose.yml"):
        assert f"/{name}" in sdist


def test_nobody_is_root_in_it() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER segsearch$", final, re.MULTILINE)
    assert "sudo" not in DOCKERFILE


def test_its_arguments_have_one_default() -> None:
    (default,) = re.findall(r"^ARG TORCH_INDEX=(\S*)$", DOCKERFILE, re.MULTILINE)
    assert variables()["TORCH_INDEX"] == default
    assert list(SERVICES["api"]["build"]["args"]) == ["TORCH_INDEX"]


def test_its_command_asks_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGSEARCH_ADMIN_KEY", "SEGSEARCH_READ_KEY"):  # as Compose sets them
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SEGSEARCH_INDEX", "http://qdrant:6333/photos")
    (line,) = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert SERVICES["api"]["volumes"][0]["target"] == "/pictures"
    command = [str(tmp_path) if word == "/pictures" else word for word in json.loads(line)]
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set SEGSEARCH_ADMIN_KEY" in done.stderr


# Health checks


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """Run a web server that answers everything so; yield its port and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


def checks() -> dict[str, tuple[list[str], str, str]]:
    """Return each health check: its command, the port in it, and the path that it asks for."""
    test = [word.replace("$$", "$") for word in SERVICES["qdrant"]["healthcheck"]["test"]]
    (line,) = re.findall(r"^    CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    python = [sys.executable, *json.loads(line)[1:]]
    return {"qdrant": (test[1:], "6333", "/readyz"), "api": (python, "8000", "/healthz")}


@pytest.mark.parametrize("service", ["qdrant", "api"])
@pytest.mark.parametrize(("status", "is_well"), [(200, True), (503, False)])
def test_health_is_what_the_service_says(service: str, status: int, is_well: bool) -> None:
    command, usual_port, path = checks()[service]
    with answering(status) as (port, asked):
        command = [word.replace(usual_port, str(port)) for word in command]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert (done.returncode == 0) == is_well
    assert asked == [path]


@pytest.mark.parametrize("service", ["qdrant", "api"])
def test_nobody_there_is_not_well(service: str) -> None:
    command, usual_port, _ = checks()[service]
    with answering(200) as (port, _):
        pass
    command = [word.replace(usual_port, str(port)) for word in command]
    assert subprocess.run(command, capture_output=True, check=False, timeout=30).returncode != 0
