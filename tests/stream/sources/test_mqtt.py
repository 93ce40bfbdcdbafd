"""The MQTT source against a real Mosquitto on this machine."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pskd.errors import UsageError
from pskd.stream.sources import Notice, Options, SourceError, open_source
from pskd.stream.sources import mqtt as mqtt_module
from pskd.stream.wire import Finish, Hello, Samples, encode_samples

paho = pytest.importorskip("paho.mqtt.client")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
broker_needed = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
HELLO = '{"type":"hello","version":1,"unit":"m/s2"}'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        user = "user root\n"  # it would change to another one that may not read the folder
        self.config.write_text(f"listener {self.port} 127.0.0.1\n{user}{extra}")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("Mosquitto did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def publish(self, *payloads: str | bytes, retain: bool = False, **login: str) -> None:
        from paho.mqtt.enums import CallbackAPIVersion

        client = paho.Client(CallbackAPIVersion.VERSION2)
        if login:
            client.username_pw_set(**login)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for payload in payloads:
            client.publish("wrist/left", payload, qos=1, retain=retain).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.kill()


class Listener:
    """Takes events in a thread, as `pskd live` does, and waits for one that is like this."""

    def __init__(self, address: str, **options) -> None:
        self.source = open_source(address, Options(**options))
        self.got: list = []
        self.error: Exception | None = None
        self.events = self.source.events()
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            with closing(self.events):
                for event in self.events:
                    with self.changed:
                        self.got.append(event.message)
                        self.changed.notify()
                        if isinstance(event.message, Finish):
                            return
        except Exception as error:
            self.error = error
        finally:
            with self.changed:
                self.changed.notify()

    def wait(self, like: Callable[[object], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: self.error or any(like(m) for m in self.got), timeout=20
            ), self.got
            if self.error:
                raise self.error

    def connected(self, again: str = "") -> None:
        self.wait(lambda m: isinstance(m, Notice) and m.text.startswith(f"Connected {again}to"))

    def ended(self) -> list:
        self.wait(lambda m: isinstance(m, Finish))
        self.thread.join(10)
        return self.got


@broker_needed
def test_messages_of_both_kinds_arrive_in_order(broker: Broker) -> None:
    broker.publish(HELLO, retain=True)  # a listener that comes later hears the unit all the same
    listener = Listener(f"mqtt://127.0.0.1:{broker.port}/wrist/left")
    listener.wait(lambda m: m == Hello("m/s2", None))
    frame = encode_samples(np.array([[1, 2, 3], [4, 5, 6]]), start=10.0, interval=0.02)
    broker.publish(json.dumps({"t": 9.5, "x": 1, "y": 2, "z": 3}), frame, '{"type":"finish"}')
    samples = [m for m in listener.ended() if isinstance(m, Samples)]
    assert [s.times.tolist() for s in samples] == [[9.5], pytest.approx([10, 10.02])]
    assert samples[1].acceleration.tolist() == [[1, 2, 3], [4, 5, 6]]


@broker_needed
def test_what_cannot_be_read_is_left_out_and_the_stream_lives(broker: Broker) -> None:
    listener = Listener(f"mqtt://127.0.0.1:{broker.port}/wrist/left", unit="g")
    listener.connected()
    broker.publish("hallo", b"PSK1", b"\xff" * 1000, '{"t":1,"x":1,"y":2}', b"7" * 200_000)
    broker.publish(b"7" * 1_000_000)  # the broker keeps it back
    broker.publish('{"t":2,"x":1,"y":2,"z":3}', '{"type":"finish"}')
    got = listener.ended()
    assert got[0] == Hello("g", None)
    assert [m.times.tolist() for m in got if isinstance(m, Samples)] == [[2]]
    assert listener.source.malformed == 5
    assert sum("left out" in m.text for m in got if isinstance(m, Notice)) == 1


@broker_needed
def test_a_broker_that_goes_and_comes_back(broker: Broker) -> None:
    listener = Listener(f"mqtt://127.0.0.1:{broker.port}/wrist/left", unit="g")
    listener.connected()
    broker.publish('{"t":1,"x":1,"y":2,"z":3}')
    broker.kill()
    listener.wait(lambda m: isinstance(m, Notice) and m.text.startswith("Lost the connection"))
    broker.start()
    listener.connected("again ")
    broker.publish('{"t":2,"x":1,"y":2,"z":3}', '{"type":"finish"}')
    got = listener.ended()
    assert [m.times.tolist() for m in got if isinstance(m, Samples)] == [[1], [2]]


@broker_needed
def test_a_reader_that_is_too_slow_loses_the_oldest_and_knows_how_many(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(f"mqtt://127.0.0.1:{broker.port}/wrist/left", Options(unit="g"))
    with closing(source.events()) as events:
        assert next(events).message == Hello("g", None)
        assert "Connected" in next(events).message.text
        many = [json.dumps({"t": t, "x": 0, "y": 0, "z": 1}) for t in range(600)]
        broker.publish(*many, '{"type":"finish"}')
        time.sleep(1)
        got, gaps = [], 0
        while not isinstance(message := next(events).message, Finish):
            if isinstance(message, Notice):
                gaps += message == Notice("", lost=True)
            else:
                got.append(message.times[0])
    assert gaps >= 1
    assert source.dropped == 600 - len(got) > 0
    assert got == list(range(600 - len(got), 600))


@broker_needed
def test_a_password_is_needed_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-b", "-c", passwords, "anna", "s3cret"], check=True, capture_output=True)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    try:
        address = f"127.0.0.1:{broker.port}/wrist/left"
        for login in ("", "anna:wr0ng@"):
            listener = Listener(f"mqtt://{login}{address}")
            with pytest.raises(SourceError, match="refuses the connection") as refused:
                listener.connected()
            assert "wr0ng" not in str(refused.value)
        Listener(f"mqtt://anna:s3cret@{address}").connected()
        monkeypatch.setenv("PSKD_MQTT_USER", "anna")
        monkeypatch.setenv("PSKD_MQTT_PASSWORD", "s3cret")
        listener = Listener(f"mqtt://{address}")
        listener.connected()
        broker.publish('{"type":"finish"}', username="anna", password="s3cret")
        listener.ended()
    finally:
        broker.kill()


@broker_needed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a socket of paho
def test_over_tls_the_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here -addext"
    subprocess.run(
        [tool, *words.split(), "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    broker = Broker(tmp_path, f"allow_anonymous true\nkeyfile {key}\ncertfile {certificate}\n")
    try:
        address = f"mqtts://127.0.0.1:{broker.port}/wrist/left"
        with pytest.raises(SourceError, match=r"cannot be reached .*certificate"):
            next(open_source(address, Options()).events())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with closing(open_source(address, Options()).events()) as events:
            assert "Connected" in next(events).message.text
    finally:
        broker.kill()


def test_a_broker_that_is_not_there() -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"mqtt://127\.0\.0\.1:\d+/t: the broker cannot be"):
        next(open_source(f"mqtt://127.0.0.1:{free_port()}/t", Options()).events())
    assert time.monotonic() - began < 10


def test_something_else_than_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(SourceError, match="has not answered within"):
            next(open_source(f"mqtt://127.0.0.1:{port}/t", Options()).events())


@pytest.mark.parametrize(
    "address",
    ["mqtt://host", "mqtt://host/", "mqtt:///topic", "mqtt://h/+/x", "mqtt://h/#", "mqtt://h:x/t"],
)
def test_an_address_names_one_topic_of_one_broker(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of"):
        open_source(address, Options())
