"""The page reads CSV files as pskd does, run in Node on the same texts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

import pskd.edge.page
from pskd.data.accelerometer_file import AccelerometerFile, read_accelerometer
from pskd.errors import PskdError

pytestmark = pytest.mark.skipif(which("node") is None, reason="needs node")

IN_NODE = """
import { readFileSync } from "node:fs";
const { parseCsv } = await import(process.argv[1]);
const said = JSON.parse(readFileSync(0, "utf-8")).map(({ text, unit }) => {
  try {
    const { times, values, notes } = parseCsv(text, unit);
    return { times: [...times], values: [...values], notes };
  } catch (error) {
    return { error: error.message };
  }
});
console.log(JSON.stringify(said));
"""


def csv(header: str, times: list[object], xyz: str = "0,0,1") -> str:
    return f"{header}\n" + "".join(f"{time},{xyz}\n" for time in times)


def clock(step_us: int, zone: str = "", n: int = 4) -> list[object]:
    start = np.datetime64("2026-11-22T09:00:00.000000")
    return [f"{start + np.timedelta64(step_us * k, 'us')}{zone}" for k in range(n)]


CASES = {
    "seconds": (csv("t,x,y,z", [0, 0.02, 0.04]), "auto"),
    "milliseconds in t": (csv("t,x,y,z", [0, 20, 40]), "auto"),
    "milliseconds by name": (csv("t_ms,x,y,z", [0, 20, 40]), "auto"),
    "two columns of times": (csv("time,timestamp,x,y,z", ["0,1", "0.02,2"]), "auto"),
    "microseconds of a clock": (csv("t,x,y,z", clock(800)), "auto"),
    "a zone of hours": (csv("t,x,y,z", clock(20_000, "+02")), "auto"),
    "a zone of minutes": (csv("t,x,y,z", clock(20_000, "-0330")), "auto"),
    "little gravity": (csv("t,x,y,z", [0, 0.02, 0.04], "0,0,0.3"), "g"),
    "metres": (csv("t,x,y,z", [0, 0.02, 0.04], "0,0,9.8"), "auto"),
    "another unit": (csv("t,x,y,z", [0, 0.02, 0.04], "0,0,9.8"), "g"),
    "no moment": (csv("t,x,y,z", [0, "soon"]), "auto"),
    "backward": (csv("t,x,y,z", [0, 0.02, 0.01]), "auto"),
}


@pytest.fixture(scope="module")
def page() -> dict[str, dict[str, Any]]:
    script = Path(pskd.edge.page.__file__).with_name("csv.mjs").as_uri()
    asked = json.dumps([{"text": text, "unit": unit} for text, unit in CASES.values()])
    command = ["node", "--input-type=module", "-e", IN_NODE, script]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def here(text: str, unit: Any) -> AccelerometerFile | None:
    try:
        return read_accelerometer(text.encode(), Path("a.csv"), unit=unit)
    except PskdError:
        return None


@pytest.mark.parametrize("case", CASES)
def test_the_page_takes_and_refuses_what_pskd_does(page: dict[str, Any], case: str) -> None:
    mine, theirs = here(*CASES[case]), page[case]
    assert (mine is None) == ("error" in theirs), theirs
    if mine is not None:
        np.testing.assert_allclose(theirs["times"], mine.times, atol=1e-6)
        np.testing.assert_allclose(
            np.reshape(theirs["values"], (-1, 3)), mine.acceleration, rtol=1e-6
        )
        assert len(theirs["notes"]) == len(mine.notes)
