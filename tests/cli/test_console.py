from __future__ import annotations

import pytest

from pskd.cli.console import say


def test_what_is_said_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("31:CD:F0:AB [bold] :smile:")
    assert capsys.readouterr().out == "31:CD:F0:AB [bold] :smile:\n"
