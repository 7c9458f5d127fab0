"""What infra/deploy says fits the code: settings, commands, the load balancer. Nothing of it is run here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from infra.cli.app import app
from infra.cluster.haproxy import configuration
from infra.settings import PREFIX, Settings
from infra.wanted import for_gateway, for_worker

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
CHART = DEPLOY / "helm" / "tidings"
TEMPLATES = sorted(CHART.glob("templates/*"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "tidings"}
SECRET = "11" * 32
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields} | {"TIDINGS_FILES", "TIDINGS_S3_ENDPOINT"}


def settings_of(environment: dict[str, str]) -> Settings:
    """As a process with this environment reads them."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items()}
    return Settings(**{name: SECRET if "${" in value else value for name, value in given.items()})  # type: ignore[arg-type]


def commands() -> set[str]:
    group: typer.Typer = app
    return {command.name or command.callback.__name__ for command in group.registered_commands if command.callback}


def test_the_load_balancers_file_is_what_the_code_writes() -> None:
    gateways = {name: f"{name}:8000" for name in OURS if name.startswith("gateway")}
    written = configuration(gateways, listen="*:8080", admin="127.0.0.1:9999", name_server="127.0.0.11:53")
    assert (
        DEPLOY / "haproxy.cfg"
    ).read_text() == "# For compose.yaml. Written by infra/cluster/haproxy.py.\n" + written


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_a_command_that_has_all_it_needs(name: str) -> None:
    service = OURS[name]
    command, *options = service["command"]
    assert command in commands()
    main: Any = typer.main.get_command(app)
    main.commands[command].make_context(command, options)  # raises where it does not know one
    settings = settings_of(service["environment"])
    assert settings.node == name
    (for_gateway if command == "gateway" else for_worker)(settings)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_waits_for_what_there_is(name: str) -> None:
    service = COMPOSE["services"][name]
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in COMPOSE["services"][needed]
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_image_has_every_package_and_starts_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    packages = {"events", "commands", "projections", "streams", "api", "infra"}
    assert set(re.findall(r"^COPY (\w+) \./\1$", text, re.MULTILINE)) == packages
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in packages} <= set(kept)
    [command] = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])
    assert command in commands()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.name))
def test_templates_use_values_that_there_are_and_set_what_the_code_reads(template: Path) -> None:
    text = template.read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(r"\.Values((?:\.\w+)+)", text):
        found: Any = values
        for part in path.strip(".").split("."):
            assert part in found, f"{path} is in no values.yaml"
            found = found[part]
    assert set(re.findall(r"\bTIDINGS_\w+", text)) <= KNOWN | {"TIDINGS_NODE"}
    opened = re.findall(r"\{\{-? *(if|range|with|define|end)\b", text)
    assert opened.count("end") * 2 == len(opened)


def test_the_charts_values_fit_their_schema_and_strange_ones_do_not() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)
    refused: list[dict[str, Any]] = [{"kafka": "no port"}, {"gatewey": {}}, {"worker": {"replicas": 0}}]
    refused.append({"audit": {"everySeconds": 0}})
    for strange in (*refused, {"settings": {"PATH": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**values, **strange}, schema)


def test_the_chart_starts_the_audit_with_options_that_there_are() -> None:
    text = (CHART / "templates" / "audit.yaml").read_text()
    [listed] = re.findall(r"\$args := list (.+) \}\}", text)
    command, *options = listed.replace("$every", '"60"').replace('"', "").split()
    main: Any = typer.main.get_command(app)
    assert main.commands[command].make_context(command, options).params["continuous"]


def test_a_workers_name_survives_its_restart() -> None:
    text = (CHART / "templates" / "worker.yaml").read_text()
    assert "kind: StatefulSet" in text
    pod = (CHART / "templates" / "_helpers.tpl").read_text()
    assert re.search(r"name: TIDINGS_NODE\n +valueFrom: \{fieldRef: \{fieldPath: metadata\.name\}\}", pod)
