"""The Ansible role and the Debian package: applied to a scratch root, and read back."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
ROLE = DEPLOY / "ansible/roles/edge"


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, directory: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "ANSIBLE_NOCOLOR": "1"} | more
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=directory)


async def applied(directory: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """The role on this machine, below a scratch root that has a program already."""
    program = directory / "root/opt/edge/bin/edge"
    if not program.exists():
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge "$@"\n')
        program.chmod(0o755)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = directory / "inventory.json"
    groups = {"edges": {"hosts": {"here": host}}, "shields": {"hosts": {}}}
    inventory.write_text(json.dumps({"all": {"children": groups}}))
    said = {"edge_root": str(directory / "root"), "edge_system": False, "ansible_become": False}
    said |= {"edge_config_file": str(config), "edge_volumes": ["/mnt/a/edge", "/mnt/b/edge"]}
    playbook = str(DEPLOY / "ansible/site.yml")
    command = [tool("ansible-playbook"), "-i", str(inventory), playbook, "-e", json.dumps(said)]
    return await asyncio.to_thread(
        run, *command, ANSIBLE_HOME=str(directory / "ansible"), ANSIBLE_REMOTE_TMP=str(directory / "remote")
    )


GOOD = ROOT / "config/edge.toml"


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_role_puts_all_in_place(tmp_path: Path) -> None:
    await installed(tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_the_role_changes_nothing_the_second_time_and_refuses_a_wrong_configuration(tmp_path: Path) -> None:
    await installed(tmp_path)
    again = await applied(tmp_path, GOOD)
    assert "changed=0" in again.stdout
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[server]\nworkres = 3\n")
    refused = await applied(tmp_path, wrong)
    assert refused.returncode != 0
    assert "workres" in refused.stdout
    assert (tmp_path / "root/etc/edge/edge.toml").read_text() == GOOD.read_text()


async def installed(tmp_path: Path) -> None:
    first = await applied(tmp_path, GOOD)
    assert first.returncode == 0, first.stdout + first.stderr
    there = tmp_path / "root"
    assert (there / "etc/edge/edge.toml").read_text() == GOOD.read_text()
    for name in ("etc/systemd/system/edge.service", "etc/sysctl.d/90-edge.conf", "etc/logrotate.d/edge"):
        assert (there / name).is_file()
    drop_in = (there / "etc/systemd/system/edge.service.d/volumes.conf").read_text()
    assert "ReadWritePaths=/mnt/a/edge /mnt/b/edge\n" in drop_in


def test_one_node_after_the_other_shields_first_and_no_handler_restarts() -> None:
    plays = yaml.safe_load((DEPLOY / "ansible/site.yml").read_text())
    assert [play["hosts"] for play in plays] == ["shields", "edges"]
    assert all(play["serial"] == 1 and play["any_errors_fatal"] for play in plays)
    handlers = (ROLE / "handlers/main.yml").read_text()
    assert "restart" not in handlers.partition("- name")[2]
    names = {handler["name"] for handler in yaml.safe_load(handlers)}
    tasks = yaml.safe_load((ROLE / "tasks/main.yml").read_text())
    said = [task["notify"] for task in tasks if "notify" in task]
    assert {name for notify in said for name in ([notify] if isinstance(notify, str) else notify)} == names
    assert all(task["name"] for task in tasks)
    (config,) = [task for task in tasks if task.get("notify") == "Reload"]
    assert "edge check-config %s" in config["ansible.builtin.copy"]["validate"], "before it takes the old one's place"
    (reload,) = [handler for handler in yaml.safe_load(handlers) if handler["name"] == "Reload"]
    assert reload["ansible.builtin.systemd_service"]["state"] == "reloaded"


def test_ansible_itself_and_its_linter_find_nothing_to_say_about_the_role(tmp_path: Path) -> None:
    """The linter checks the syntax with ansible-playbook first; what it writes beside the role is not ours."""
    shutil.copytree(DEPLOY / "ansible", tmp_path / "ansible")
    lint = tool("ansible-lint"), "--offline", "--nocolor", "-p", "site.yml", "roles"
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = run(*lint, directory=tmp_path / "ansible", HOME=str(tmp_path), PATH=path, PYTHONWARNINGS="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed: 0 failure(s), 0 warning(s)" in done.stderr
    assert "'production'" in done.stderr, "the strictest profile"


def test_the_package_has_the_program_its_units_and_its_runbooks_and_its_scripts_are_shell(tmp_path: Path) -> None:
    tool("nfpm")
    dpkg = tool("dpkg-deb")
    (tmp_path / "tree/bin").mkdir(parents=True)
    (tmp_path / "tree/bin/edge").write_text("#!/bin/sh\n")
    (tmp_path / "tree/bin/edge").chmod(0o755)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    made = run(str(DEPLOY / "packaging/build"), str(tmp_path), EDGE_VENV=str(tmp_path / "tree"), PATH=path)
    assert made.returncode == 0, made.stdout + made.stderr
    (package,) = tmp_path.glob("*.deb")
    assert run(dpkg, "-x", str(package), str(tmp_path / "x")).returncode == 0
    assert run(dpkg, "-e", str(package), str(tmp_path / "control")).returncode == 0
    for name in (
        "opt/edge/bin/edge", "lib/systemd/system/edge.service", "etc/edge/edge.toml", "etc/logrotate.d/edge",
        "usr/share/doc/edge/runbooks/EdgeNodeDown.md", "usr/share/edge/prometheus/rules/alerts.yml",
    ):  # fmt: skip
        assert (tmp_path / "x" / name).is_file(), name
    assert os.access(tmp_path / "x/opt/edge/bin/edge", os.X_OK)
    assert "/etc/edge/edge.toml" in (tmp_path / "control/conffiles").read_text().split()
    for script in ("preinst", "postinst", "prerm"):
        assert run("sh", "-n", str(tmp_path / "control" / script)).returncode == 0
