"""The page in a real browser: Debian's Chromium, without a screen."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
import torch

from pskd.edge.material import Material
from pskd.edge.page import MODULES, RATE, read_module, render, simulate_person
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import TARGETS
from pskd.models.layers import Head
from pskd.stream.recognizer import Recognizer

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("PSKD_CHROMIUM") or which("chromium")
if not (CHROMIUM and which("clang") and which("wasm-ld")):
    pytest.skip("needs chromium, clang and lld", allow_module_level=True)
pytest.importorskip("wasmtime")

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
ORIGIN = "https://student.test/"
SETTINGS = StreamSettings(idle_g=0.05, rejection="probability", threshold=0.3)
G = 9.80665


@pytest.fixture(scope="module")
def student(material: Material, tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path]:
    """A student with settings, and its page."""
    folder = tmp_path_factory.mktemp("page")
    material = decided(material)
    TARGETS["html"].export(material, folder)
    return material, folder / TARGETS["html"].file


def decided(material: Material) -> Material:
    """The same student, but sure of itself: that of the fixture is close to even everywhere."""
    student = copy.deepcopy(material.student)
    (head,) = (module for module in student.modules() if isinstance(module, Head))
    with torch.no_grad():
        logits = student(torch.from_numpy(material.test)).logits
        scale = 2 / logits.std(0)
        head.classifier.bias.sub_(logits.mean(0)).mul_(scale)
        head.classifier.weight.mul_(scale[:, None])
    return replace(material, student=student, settings=SETTINGS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any, student: tuple[Material, Path]) -> Iterator[Callable[..., Any]]:
    """Opens the page, or one of another address; fails where a script did."""
    contexts, faults = [], []

    def opened(address: str | None = None, init: str = "", html: str = "", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
        if init:
            page.add_init_script(init)
        if html:
            page.route(
                f"{address}**", lambda route: route.fulfill(body=html, content_type="text/html")
            )
        page.goto(address or student[1].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def movements(material: Material, seconds: float = 24) -> tuple[np.ndarray, np.ndarray]:
    """Times and m/s2 at some 50 Hz: windows of the test side one after the other, then rest."""
    rng = np.random.default_rng(3)
    times = 5 + np.cumsum(rng.uniform(0.018, 0.022, round(50 * seconds)))
    signal = np.concatenate(list(material.test), axis=1)
    at = np.arange(signal.shape[1]) / 32
    values = np.stack([np.interp(times - 5, at, axis) for axis in signal], axis=1)
    values[times > 5 + seconds - 6] = values[-1]
    return times, values * G


def recognised(student: tuple[Material, Path], times, values, unit="m/s2") -> list[list[str]]:
    """Actions that Python reports, and their largest probability, newest first."""
    material, path = student
    runner = TARGETS["html"].load(path)
    recognizer = Recognizer(runner, material.config, material.settings, unit=unit)
    found = recognizer.push(values, times) + recognizer.finish()
    rows: list[list[Any]] = []
    open_ = None
    for prediction in found:
        if open_ and prediction.class_name != open_:
            open_ = None
        if prediction.action:
            open_ = prediction.action
            rows.append([open_, 0.0])
        if open_:
            rows[-1][1] = max(rows[-1][1], prediction.probability)
    assert len({name for name, _ in rows}) > 2 and len(found) > len(rows)
    return [[name, f"{np.floor(100 * p + 0.5):.0f} %"] for name, p in rows[::-1]]


def listed(page: Any) -> list[list[str]]:
    return page.eval_on_selector_all(
        "#log li",
        "rows => rows.map(r => [...r.querySelectorAll('.name, .sure')].map(c => c.textContent))",
    )


def choose(page: Any, source: str, speed: str = "0") -> None:
    page.check(f"input[value={source}]", force=True)
    if source != "motion":
        page.select_option("#speed", speed)


def start(page: Any) -> None:
    page.click("#start")
    page.wait_for_selector("#start[data-running]")


def wait_for_end(page: Any) -> None:
    page.wait_for_selector("#state:text('Finished')")


SEND = """([times, values, sign]) => {
  for (let k = 0; k < times.length; k++) {
    const [x, y, z] = values[k].map((v) => sign * v);
    const event = new DeviceMotionEvent("devicemotion", {
      accelerationIncludingGravity: { x, y, z }, interval: 20 });
    Object.defineProperty(event, "timeStamp", { value: 1000 * times[k] });
    window.dispatchEvent(event);
  }
}"""


def send_motion(page: Any, times: np.ndarray, values: np.ndarray, sign: int = 1) -> None:
    page.evaluate(SEND, [times.tolist(), values.tolist(), sign])


ASK = "DeviceMotionEvent.requestPermission = async () => '{}';"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"


@pytest.mark.parametrize("iphone", [False, True])
def test_motion_of_a_phone_gives_what_python_gives(show, student, iphone: bool):
    times, values = movements(student[0])
    options = {"user_agent": IPHONE, "init": ASK.format("granted")} if iphone else {}
    page = show(**PHONE, **options)
    assert page.is_checked("input[value=motion]")
    start(page)
    send_motion(page, times, values, sign=-1 if iphone else 1)
    page.click("#start")
    assert listed(page) == recognised(student, times, values)  # at rest in the end
    assert page.inner_text("#state") == "Stopped"
    if iphone:
        assert "opposite sign" in page.inner_text("#notices")


def write_csv(path: Path, times: np.ndarray, values: np.ndarray) -> Path:
    rows = np.column_stack([values[:, ::-1], times]).tolist()
    path.write_text(
        "acc_z,acc_y,Acc_X,time\n" + "".join(f"{z},{y},{x},{t}\n" for z, y, x, t in rows)
    )
    return path


DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
}"""


@pytest.mark.parametrize("dropped", [False, True])
def test_a_file_gives_what_python_gives(show, student, tmp_path: Path, dropped: bool):
    times, values = movements(student[0])
    path = write_csv(tmp_path / "walk.csv", times, values)
    page = show()
    if dropped:
        page.evaluate(DROP, [path.name, path.read_text()])
    else:
        choose(page, "file")
        page.set_input_files("#file", path)
    page.wait_for_selector("#file-name:text('walk.csv')")
    page.select_option("#speed", "0")
    page.click("#start")
    wait_for_end(page)
    assert listed(page) == recognised(student, times, values)
    assert "Unit taken as m/s2" in page.inner_text("#notices")


def test_a_simulated_person_is_the_same_everywhere(show, student):
    page = show()
    choose(page, "person")
    assert "no person was recorded" in page.inner_text("#privacy")
    page.click("#start")
    wait_for_end(page)
    values = (1000 * simulate_person(student[0].config.classes).acceleration).round() / 1000
    assert listed(page) == recognised(student, np.arange(len(values)) / RATE, values, "g")


def test_the_file_asks_for_nothing(show):
    page = show(offline=True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    choose(page, "person")
    page.click("#start")
    wait_for_end(page)
    assert len(requests) == 1 and requests[0].startswith("file:///")
    tried = "fetch('https://student.test/').then(() => 'sent', () => 'refused')"
    assert page.evaluate(tried) == "refused"
    policy = page.get_attribute("meta[http-equiv]", "content")
    assert "connect-src 'none'" in policy and "unsafe-inline" not in policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column x"),
        ("t,x,y\n0,1,1\n", "no column z"),
        ("t,x,y,z,ax\n0,1,1,1,1\n", "several columns x"),
        ("x,y,z\n0,0,1\n0,0,1\n", "no column t"),
        ("t,x,y,z\n0,0,0,1\n", "1 samples"),
        ("t,x,y,z\n0,0,0,1\n1,0,0\n", "line 3: 3 cells"),
        ("t,x,y,z\n0,0,0,up\n1,0,0,1\n", "line 2: a value is no finite number"),
        ("t,x,y,z\n1,0,0,1\n0.5,0,0,1\n", "sample 2 is not later"),
        ("t,x,y,z\n0,0,0,50\n0.02,0,0,50\n", "neither g nor m/s²"),
        ("t,x,y,z\n0,0,0,<b>1\n", "line 2"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(show_once, text: str, message: str):
    show_once.evaluate(DROP, ["<i>bad</i>.csv", text])
    show_once.wait_for_selector("#message:not(:empty)")
    assert message in show_once.inner_text("#message")
    assert "<i>bad</i>.csv" in show_once.inner_text("#message")
    show_once.click("#start")
    assert "Choose a CSV file first" in show_once.inner_text("#message")


@pytest.fixture(scope="module")
def show_once(browser: Any, student: tuple[Material, Path]) -> Iterator[Any]:
    page = browser.new_page()
    page.goto(student[1].as_uri())
    yield page
    page.close()


def test_csv_of_other_clocks_and_units(show_once, tmp_path: Path):
    rows = [(0, 0, 1), (0.1, 0, 1)]
    for header, cells in {
        "t": ("3", "3.5"),
        "t_ms": ("3000", "3500"),
        "timestamp": ("1700000000000", "1700000000500"),
        "time": ("2026-11-22 10:00:00", "2026-11-22T10:00:00.5+00:00"),
    }.items():
        text = f"{header},x,y,z\n" + "".join(
            f"{cell},{x},{y},{z}\r\n" for cell, (x, y, z) in zip(cells, rows, strict=True)
        )
        show_once.evaluate(DROP, ["a.csv", text])
        show_once.wait_for_selector("#file-name:text('a.csv')")
        assert not show_once.inner_text("#message"), header


def test_a_sensor_that_is_denied_or_missing_is_said(show):
    page = show(init=ASK.format("denied"), **PHONE)
    page.click("#start")
    page.wait_for_selector("#message:text('denied')")
    assert page.inner_text("#start") == "Start"
    page = show(**PHONE)
    page.clock.install()
    start(page)
    page.clock.fast_forward(4000)
    page.wait_for_selector("#message:text('No motion data came')")
    assert page.inner_text("#start") == "Start"


def test_an_insecure_page_says_that_it_is(show, student):
    page = show("http://student.test/", html=student[1].read_text(), **PHONE)
    page.click("#start")
    page.wait_for_selector("#message:text('https')")


def test_all_by_keyboard(show):
    page = show()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        outline = page.evaluate(
            """(() => { const at = document.activeElement;
              const shown = at.matches('fieldset input') ? at.nextElementSibling : at;
              return getComputedStyle(shown).outlineStyle; })()"""
        )
        assert outline not in ("none", ""), seen
        if seen[-1] == "source":
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowRight")
        if seen[-1] == "speed":
            page.keyboard.press("a")  # "at once"
        if seen[-1] == "start":
            page.keyboard.press("Enter")
            break
    assert seen[-3:] == ["source", "speed", "start"]
    wait_for_end(page)
    assert listed(page)
    assert page.evaluate("document.activeElement.id") == "start"


CONTRASTS = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return [...document.querySelectorAll("body *")]
    .filter((at) => at.checkVisibility() && !at.closest("script, :disabled + span, :disabled"))
    .filter((at) => [...at.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((at) => [at.id || at.className || at.tagName,
      ratio(light(colour(getComputedStyle(at).color)), light(behind(at)))]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(show, scheme: str):
    page = show(color_scheme=scheme)
    dark = sum(
        map(
            int,
            re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")),
        )
    )
    assert (dark < 200) == (scheme == "dark")
    found = dict(page.evaluate(CONTRASTS))
    page.click("summary")
    page.evaluate(DROP, ["bad.csv", "t"])
    page.wait_for_selector("#message:not(:empty)")
    found |= dict(page.evaluate(CONTRASTS))
    choose(page, "person")
    page.click("#start")
    wait_for_end(page)
    found |= dict(page.evaluate(CONTRASTS))
    assert {"action", "sure", "state", "message", "name", "start", "privacy"} <= found.keys()
    assert min(found.values()) >= 4.5, found


def test_narrow_and_enlarged_pages_need_no_sideways_scrolling(show):
    page = show(viewport={"width": 320, "height": 600})
    for enlarge in ("100%", "200%"):
        page.evaluate(f"document.documentElement.style.fontSize = '{enlarge}'")
        for source in ("motion", "file", "person"):
            choose(page, source)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, (enlarge, source)
    page.click("#start")
    wait_for_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_reduced_motion_is_honoured(show):
    count = """() => new Promise((done) => { let drawn = 0;
      const scale = CanvasRenderingContext2D.prototype.scale;
      CanvasRenderingContext2D.prototype.scale = function (...a) { drawn++; scale.apply(this, a); };
      setTimeout(() => done(drawn), 600); })"""
    drawn = []
    for wish in ("reduce", "no-preference"):
        page = show(reduced_motion=wish)
        choose(page, "person", "1")
        start(page)
        drawn.append(page.evaluate(count))
        page.click("#start")
    assert drawn[0] <= 2 < 10 < drawn[1]


def test_names_of_classes_are_text(show, student):
    material, path = student
    names = [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(2)>",
        "<!--",
        "&amp;",
        "{{data}}",
    ]
    config = material.config.model_copy(update={"classes": names})
    module = read_module(path.read_bytes())
    html = render(config, material.settings, module, server=False)
    assert read_module(html.encode()) == module
    page = show(ORIGIN, html=html)
    assert all(name in page.inner_text("#knows") for name in names)
    choose(page, "person")
    page.click("#start")
    wait_for_end(page)
    assert {name for name, _ in listed(page)} <= set(names) and listed(page)
    assert page.locator("img").count() == 0


def test_what_begins_is_said_once(show, student):
    said = """() => { window.said = [];
      new MutationObserver(() => said.push(document.getElementById("spoken").textContent))
        .observe(document.getElementById("spoken"), { childList: true }); }"""
    page = show()
    page.evaluate(said)
    choose(page, "person")
    page.click("#start")
    wait_for_end(page)
    assert page.get_attribute("#spoken", "aria-live") == "polite"
    said_ = page.evaluate("said")
    assert said_ == [listed(page)[-1][0]]  # all came within two seconds


def serve(
    page: Any, student: tuple[Material, Path], *, wrong: float = 0.0, close_after: int = 0
) -> None:
    """Answer the page's WebSocket as the server does, by the same recognizer."""
    from pskd.stream.wire import Finish, Hello, decode, prediction_json

    material, path = student
    recognizer = Recognizer(TARGETS["html"].load(path), material.config, material.settings)

    def connected(socket: Any) -> None:
        assert socket.url == "wss://student.test/stream?token=secret"
        received = 0

        def answer(message: str) -> None:
            nonlocal received
            received += 1
            decoded = decode(message)
            if isinstance(decoded, Hello):
                assert decoded.unit == "g"
                return
            if close_after and received > close_after:
                socket.send('{"type": "error", "message": "It is full.", "fatal": true}')
                socket.close()
                return
            found = (
                recognizer.finish() if isinstance(decoded, Finish) else recognizer.push(*decoded)
            )
            for prediction in found:
                said = prediction_json(prediction)
                said["probabilities"] = [p + wrong for p in said["probabilities"]]
                socket.send(json.dumps(said))
            if isinstance(decoded, Finish):
                socket.send(json.dumps({"type": "done", "counts": vars(recognizer.counts)}))

        socket.on_message(answer)

    page.route_web_socket("**/stream*", connected)


@pytest.fixture
def served(show, student) -> Callable[..., Any]:
    def opened(wasm: bool = True, **answers: Any) -> Any:
        material, path = student
        module = read_module(path.read_bytes()) if wasm else None
        html = render(material.config, material.settings, module, server=True)
        page = show(ORIGIN, html=html)
        serve(page, student, **answers)
        page.goto(f"{ORIGIN}#token=secret")
        page.reload()
        return page

    return opened


def recording(page: Any, student: tuple[Material, Path]) -> tuple[np.ndarray, np.ndarray]:
    times, values = movements(student[0])
    text = "t,x,y,z\n" + "".join(
        f"{t},{x},{y},{z}\n" for t, (x, y, z) in zip(times, values, strict=True)
    )
    page.evaluate(DROP, ["a.csv", text])
    page.wait_for_selector("#file-name:text('a.csv')")
    page.select_option("#speed", "0")
    return times, values


@pytest.mark.parametrize("wasm", [True, False])
def test_the_server_recognises(served, student, wasm: bool):
    page = served(wasm)
    assert page.is_disabled("input[value=browser]") != wasm
    if wasm:
        page.check("input[value=server]", force=True)
    assert "go to the server" in page.inner_text("#privacy")
    expected = recognised(student, *recording(page, student))
    page.click("#start")
    wait_for_end(page)
    assert listed(page) == expected


@pytest.mark.parametrize("wrong", [0.0, 0.01])
def test_a_comparison_shows_whether_both_agree(served, student, wrong: float):
    page = served(wrong=wrong)
    page.check("input[value=compare]", force=True)
    recording(page, student)
    page.click("#start")
    wait_for_end(page)
    words = page.inner_text("#figures div:last-child dd")
    agree, windows, apart = re.fullmatch(
        r"(\d+) of (\d+) agree, at most (\S+) apart", words
    ).groups()
    assert int(agree) == int(windows) > 20
    assert float(apart) < 1e-5 if not wrong else float(apart) == pytest.approx(wrong, rel=0.1)


def test_a_lost_server_is_said(served, student):
    page = served(close_after=3)
    page.check("input[value=server]", force=True)
    recording(page, student)
    page.click("#start")
    page.wait_for_selector("#message:text('The server says: It is full.')")
    assert page.inner_text("#state") == "Stopped"


def test_parts_can_be_joined():
    folder = Path(__import__("pskd.edge.page", fromlist=["page"]).__file__).parent
    for name in MODULES:
        source = (folder / name).read_text()
        assert not re.search(r"^import (?!\{.*\} from \"\./[\w.]+\";$)", source, re.MULTILINE), name
        assert not re.search(r"</script|<!--|export default|^export \{", source, re.I | re.M), name
