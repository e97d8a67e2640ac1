"""deploy/: the compose file hangs together, keeps its doors shut, and names only what this environment has."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from playbook.settings import settings

DEPLOY = settings().root / "deploy"
OURS = ("code", "webserver", "daemon", "mlflow", "model")
IMAGES = {"postgres": "postgres:", "proxy": "nginxinc/", "model-gate": "nginxinc/"}
SETTING = re.compile(r"\$\{(\w+)(:-[^}]*)?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return found


def test_the_services_are_there(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*OURS, *IMAGES}
    for name, service in compose["services"].items():
        assert service["image"].startswith(IMAGES.get(name, "playbook")), name


def test_every_service_is_watched_limited_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        check = service["healthcheck"]
        assert check["test"][0] == "CMD" and check["interval"] and check["timeout"] and check["retries"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["restart"] == "unless-stopped", name


def test_only_the_proxy_has_a_port_and_that_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"proxy"}
    assert all(port.startswith("${PROXY_ADDRESS:-127.0.0.1}:") for port in published["proxy"])
    assert [port.rpartition(":")[2] for port in published["proxy"]] == ["8080", "8081", "8082"]
    outside = [name for name, service in compose["services"].items() if "outside" in service.get("networks", ())]
    assert outside == ["proxy"]
    assert all("network_mode" not in service or name == "model-gate" for name, service in compose["services"].items())


def test_ours_run_without_rights(compose: dict[str, Any]) -> None:
    for name in (*OURS, "proxy", "model-gate"):
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE) == ["playbook"]
    assert dockerfile.index("requirements.lock") < dockerfile.index("USER playbook")


def test_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    declared = compose["secrets"]
    assert all(secret["file"].startswith("./secrets/") for secret in declared.values())
    text = (DEPLOY / "compose.yaml").read_text("utf-8") + (DEPLOY / ".env.example").read_text("utf-8")
    assert not re.search(r"://[^/\s\"']*:[^/\s\"']*@", text)
    for name, service in compose["services"].items():
        assert set(service.get("secrets", ())) <= set(declared), name
        for variable, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|DATABASE|WEBHOOK|SECRET|TOKEN", variable)
            mounted = str(value).removeprefix("/run/secrets/")
            assert not secret or (str(value).startswith("/run/secrets/") and mounted in service["secrets"]), variable
    ignored = (settings().root / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/secrets/" in ignored and ".env" in ignored


def test_every_setting_has_a_default_and_is_explained(compose: dict[str, Any]) -> None:
    text = "\n".join(
        line for line in (DEPLOY / "compose.yaml").read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    asked = dict(SETTING.findall(text))
    offered = re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert set(asked) == set(offered)
    assert all(default.startswith(":-") for default in asked.values())


def test_volumes_networks_and_dependencies_exist(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        for volume in service.get("volumes", ()):
            source = SETTING.sub("project", volume).partition(":")[0]
            known = source in compose["volumes"] or source == "project"
            assert known or (DEPLOY / source).is_file(), volume
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
    (server,) = [entry["grpc_server"] for entry in workspace["load_from"]]
    assert server["host"] in compose["services"] and server["location_name"] == "playbook"
    assert str(server["port"]) in compose["services"]["code"]["command"]


def test_every_command_exists_in_this_environment(compose: dict[str, Any]) -> None:
    programs = Path(sys.executable).parent
    for name in OURS:
        service = compose["services"][name]
        assert (programs / service["command"][0]).is_file(), service["command"]
        check = service["healthcheck"]["test"][1:]
        assert (programs / check[0]).is_file(), check
        for words in (service["command"], check):
            modules = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-m", "--module-name")]
            assert all(importlib.util.find_spec(module) for module in modules), words
        if check[:2] == ["python", "-c"]:
            compile(check[2], name, "exec")
    entry = re.search(r"ENTRYPOINT \[(.*)\]", (DEPLOY / "Dockerfile").read_text("utf-8"))
    assert entry is not None and entry.group(1).endswith('"python", "-m", "pipelines.instance"')


def test_what_the_image_copies_exists() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = [words.split() for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)]
    sources = [source for words in copied for source in words[:-1]]
    assert {"playbook", "assets", "resources", "pipelines", "requirements.lock"} <= set(sources)
    assert [source for source in sources if not (settings().root / source).exists()] == []


def test_the_secrets_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there: no passwords were made")
    script = tmp_path / "secrets.sh"
    shutil.copy(DEPLOY / "secrets.sh", script)
    first = subprocess.run(["sh", str(script), "anna"], capture_output=True, text=True, check=True)
    folder = tmp_path / "secrets"
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == {"postgres_password", "database_url", "proxy_passwords", "webhook"}
    assert made["database_url"] == f"postgresql://playbook:{made['postgres_password']}@postgres:5432/playbook"
    assert made["proxy_passwords"].startswith("anna:$apr1$") and made["webhook"] == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "anna / " in first.stdout and made["postgres_password"] not in first.stdout
    again = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
    assert again.stdout == "" and {path.name: path.read_text() for path in folder.iterdir()} == made
