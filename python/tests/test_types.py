"""Type hints: complete within the package, and of use to programs."""

import subprocess
import sys

import peers

#: A program as a user writes it, and what a type checker has to know about it.
PROGRAM = """
from __future__ import annotations

import vuicc
from typing import Optional
from typing_extensions import assert_type


def download(card: vuicc.Card, code: str) -> list[str]:
    card.lpa("profile", "download", code, "--yes", timeout=60)
    return [profile["iccid"] for profile in card.lpa("profile", "list")]


def test_it(vuicc_card: vuicc.Card, vuicc_reader: vuicc.Reader, vuicc_smdp: vuicc.SmDp) -> None:
    response = vuicc_card.transmit("00A40004023F00", follow=True)
    assert response.ok and response.data[0] == 0x62 and response.sw1 == 0x90
    order = vuicc_smdp.order(confirmation_code="1234")
    assert download(vuicc_card, order.activation_code)
    assert_type(order.confirmation_code, Optional[str])
    assert_type(vuicc_reader.env, dict[str, str])


with vuicc.Card.new() as card, vuicc.SmDp(card.state) as smdp, vuicc.Operator(smdp=smdp) as operator:
    assert_type((card, smdp, operator), tuple[vuicc.Card, vuicc.SmDp, vuicc.Operator])
    try:
        card.lpa("chip", "info")
    except vuicc.NotThere as error:
        assert_type(error.exit_code, Optional[int])
"""


def checked(*arguments):
    peers.module("mypy", "mypy is not installed")
    line = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null", *arguments]
    told = subprocess.run(line, capture_output=True, text=True, check=False)
    return told.returncode, told.stdout + told.stderr


def test_the_package_is_typed():
    code, told = checked("--package", "vuicc")
    assert code == 0, told


def test_a_program_is_checked(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    code, told = checked(str(program))
    assert code == 0, told
    program.write_text("import vuicc\nvuicc.Card.new(type=3).transmit(5)\n")
    code, told = checked(str(program))
    assert code == 1 and told.count("[arg-type]") == 2, told
