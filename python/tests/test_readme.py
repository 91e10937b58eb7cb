"""The examples of the README, as printed."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_tests_in_it_pass(pytester):
    pytester.makepyfile("import pytest\n" + "\n".join(one for one in EXAMPLES if "def test_" in one))
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=5)


def test_the_programs_in_it_run():
    programs = [one for one in EXAMPLES if "def test_" not in one]
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "README.md", "exec"), {})
