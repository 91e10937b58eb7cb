"""The action for GitHub and the example for GitLab, played in a shell as their runners do.

The variable VUICC_CHECKOUT says where the repository is, VUICC_WHEEL where its wheel. Other packages come from where pip is told
to look; Debian's are here already.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import peers
import pytest
import vuicc
from vuicc._program import python

yaml = peers.module("yaml", "PyYAML is not installed", whole_module=True)
CHECKOUT = Path(os.environ.get("VUICC_CHECKOUT", ""))
if not (CHECKOUT / "action.yml").is_file():
    peers.skip("VUICC_CHECKOUT names no checkout of vuicc", whole_module=True)

WHEEL = Path(os.environ.get("VUICC_WHEEL", ""))
if not WHEEL.is_file():
    peers.skip("VUICC_WHEEL names no wheel of vuicc; scripts/wheel makes one", whole_module=True)
SHA256 = hashlib.sha256(WHEEL.read_bytes()).hexdigest()

#: All that expressions here may be; a runner knows more.
EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")
CONDITION = re.compile(r"^([\w.]+) == '(\w*)'$")


class Runner:
    """Plays a composite action."""

    def __init__(self, folder, inputs):
        self.action = yaml.safe_load((CHECKOUT / "action.yml").read_text())
        self.folder = folder
        unknown = set(inputs) - set(self.action["inputs"])
        assert not unknown, unknown
        self.values = {f"inputs.{name}": inputs.get(name, one["default"]) for name, one in self.action["inputs"].items()}
        self.values["github.action_path"] = str(CHECKOUT)
        self.values["github.server_url"] = "http://127.0.0.1:8000"
        self.values["github.action_repository"] = "OWNER/vuicc"
        self.values["github.action_ref"] = "main"
        self.environment = plain(folder)

    def value(self, text):
        return EXPRESSION.sub(lambda found: self.values.get(found[1], ""), text)

    def lines(self, steps):
        """The steps as commands of bash; of all if none are named."""
        script = ["set -e"]
        for step in self.action["runs"]["steps"]:
            if steps and step.get("id") not in steps:
                continue
            assert step["shell"] == "bash" and set(step) <= {"name", "id", "if", "shell", "env", "run"}
            assert "${{" not in step["run"], "inputs come by env, never pasted into a script"
            if "if" in step:
                name, expected = CONDITION.match(step["if"]).groups()
                if self.values[name] != expected:
                    continue
            outputs = self.folder / f"outputs-{step.get('id', 'none')}"
            path = self.folder / "path"
            file = self.folder / f"step-{len(script)}.sh"
            file.write_text(step["run"])
            set_env = " ".join(f"{name}={quoted(self.value(one))}" for name, one in step.get("env", {}).items())
            script.append(
                f"echo '== {step['name']}'\n"
                f"PATH=$(tac {path} 2>/dev/null | tr '\\n' ':')$PATH GITHUB_OUTPUT={outputs} GITHUB_PATH={path} {set_env} "
                f"bash --noprofile --norc -eo pipefail {file}"
            )
        return script

    def play(self, then, steps=(), before=""):
        """Play the action, and commands of the job before and after it; the outputs."""
        after = f"PATH=$(tac {self.folder / 'path'} | tr '\\n' ':')$PATH bash -euo pipefail -c {quoted(then)}"
        told = alone("\n".join([before, *self.lines(steps), after]), self.folder, self.environment)
        outputs = {}
        for file in self.folder.glob("outputs-*"):
            for line in file.read_text().splitlines():
                name, value = line.split("=", 1)
                outputs[f"steps.{file.name[len('outputs-') :]}.outputs.{name}"] = value
        self.values.update(outputs)
        return told, {name: self.value(one["value"]) for name, one in self.action["outputs"].items()}


def plain(folder):
    """A runner's environment, with a home of its own."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR") or name.startswith("PIP_")
    }
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return {**kept, "HOME": str(folder), "RUNNER_TEMP": str(folder / "temp"), "GITHUB_ACTIONS": "true"}


def alone(script, folder, environment):
    """Run a script of bash on a machine of its own: no PC/SC service, no network but loopback, nothing outlives it."""
    spaces = peers.namespaces()
    (folder / "temp").mkdir()
    (folder / "run").mkdir()
    (folder / "bin").mkdir()
    for program in ("apt-get", "apt"):
        (folder / "bin" / program).write_text('#!/bin/sh\necho "(not here: apt-get $*)"\n')
        (folder / "bin" / program).chmod(0o755)
    inside = [*spaces[:-1], "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    inside += [*python(), os.path.join(os.path.dirname(vuicc.__file__), "_inside.py"), str(folder / "run")]
    environment = {**environment, "PATH": f"{folder / 'bin'}:{environment['PATH']}"}
    job = subprocess.run(
        [*inside, "/bin/bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert job.returncode == 0, job.stdout
    return job.stdout


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_action_inserts_a_card_and_serves(tmp_path):
    runner = Runner(
        tmp_path,
        {"wheel": str(WHEEL), "smdp": "true", "readers": "2", "image": "a card.img", "card": "--memory 300000 --disabled"},
    )
    told, outputs = runner.play(
        """
        vuicc subscriber new anna.toml
        vuicc smdp profile add anna.toml --type test
        vuicc smdp profile order --type test --matching-id CI-1
        vuicc lpa profile download --yes 'LPA:1$127.0.0.1:8443$CI-1'
        vuicc card show "a card.img" --json --brief
        vuicc reader list
        vuicc card eject --all
        """
    )
    assert (outputs["reader"], outputs["smdp"]) == ("Virtual PCD 00 00", "127.0.0.1:8443")
    assert len(outputs["eid"]) == 32 and outputs["eid"] in told.split("== Insert a card")[1]
    assert bytes.fromhex(outputs["atr"])[0] == 0x3B
    assert '"total":300000' in told and "Virtual PCD 2 00 01" in told


def test_the_action_runs_no_input_as_a_command(tmp_path):
    evil = "$(touch stolen); touch stolen; `touch stolen`"
    runner = Runner(tmp_path, {"card": f"--eid {evil}"})
    runner.environment["PATH"] = f"{os.path.dirname(vuicc.program())}:{runner.environment['PATH']}"
    with pytest.raises(AssertionError, match="unexpected argument"):
        runner.play("true", steps=("card",))
    assert not (tmp_path / "stolen").exists()


def test_the_action_takes_the_wheel_of_the_release_it_is_used_by(tmp_path):
    """By URL and hash: another file with the name is not installed, and nothing by its name alone."""
    version = WHEEL.name.split("-")[1]
    release = tmp_path / "server" / "OWNER" / "vuicc" / "releases" / "download" / f"v{version}"
    release.mkdir(parents=True)
    name = f"vuicc-{version}-py3-none-manylinux_2_31_x86_64.whl"
    shutil.copy(WHEEL, release / name)
    (release / f"{name}.sha256").write_text(f"{SHA256}  {name}\n")
    serve = f"python3 -m http.server --bind 127.0.0.1 --directory {release.parents[4]} 8000 2>requests.log &"
    serve += " until (: </dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.05; done"

    def installs(inputs, ref):
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        runner = Runner(folder, inputs)
        runner.values["github.action_ref"] = ref
        told, _ = runner.play("vuicc --version", steps=("install",), before=serve)
        return told

    assert version in installs({}, f"v{version}").splitlines()[-1]
    url = f"http://127.0.0.1:8000/OWNER/vuicc/releases/download/v{version}/{name}"
    installs({"wheel": url, "sha256": SHA256}, "main")
    (tmp_path / "a folder").mkdir()
    shutil.copy(WHEEL, tmp_path / "a folder")
    installs({"wheel": str(tmp_path / "a folder" / WHEEL.name), "sha256": SHA256}, "main")
    for inputs, ref, why in [
        ({"wheel": url, "sha256": "0" * 64}, "main", "DO NOT MATCH THE HASHES"),
        ({"wheel": url}, "main", "needs its input sha256"),
        ({"wheel": "nowhere.whl"}, "main", "there is no wheel nowhere.whl"),
        ({}, "main", "'main' is no tag of a release"),
        ({}, "v0.0.1", "no wheel with a hash at .*v0.0.1"),
    ]:
        with pytest.raises(AssertionError, match=why):
            installs(inputs, ref)


def jobs():
    example = yaml.safe_load((CHECKOUT / "docs/ci/gitlab-ci.yml").read_text())
    example.pop("variables")
    hidden = {name: job for name, job in example.items() if name.startswith(".")}
    return {name: {**hidden[job["extends"]], **job} for name, job in example.items() if name not in hidden}


@pytest.mark.parametrize("name", ["pytest", "download"])
def test_the_example_for_gitlab(tmp_path, name):
    job = jobs()[name]
    (tmp_path / "test_card.py").write_text("def test_reader(vuicc_reader): assert vuicc_reader.connection()\n")
    script = "\n".join(["set -e", *job["before_script"], *job["script"]])
    variables = yaml.safe_load((CHECKOUT / "docs/ci/gitlab-ci.yml").read_text())["variables"]
    variables.update(VUICC_WHEEL=WHEEL.as_uri(), VUICC_SHA256=SHA256)
    told = alone(script, tmp_path, {**plain(tmp_path), **variables})
    if name == "pytest":
        assert 'tests="1"' in (tmp_path / job["artifacts"]["reports"]["junit"]).read_text()
    else:
        assert "89" in told
    assert sys.version_info >= (3, 9)


def test_the_example_has_no_other_jobs():
    assert set(jobs()) == {"pytest", "download"}
