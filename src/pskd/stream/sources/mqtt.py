"""Messages of the wire format from a topic of an MQTT broker."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pskd.errors import UsageError, printable
from pskd.stream.sources.base import Event, Notice, Options, Source, SourceError, register
from pskd.stream.sources.mailbox import Mailbox
from pskd.stream.wire import MAX_BYTES

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

PORTS = {"mqtt": 1883, "mqtts": 8883}
PATIENCE = 5.0
"""Seconds until a broker must have answered; each of two steps may take so long."""
KEEPALIVE = 15
SLOWEST_RETRY = 30
USER, PASSWORD = "PSKD_MQTT_USER", "PSKD_MQTT_PASSWORD"
"""Variables with what the address does not say: it is seen in the list of processes."""


@register
class Mqtt(Source):
    """`mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC`, or `mqtts://` with TLS; MQTT 5.

    A lost connection is sought again, for ever, with growing pauses; a broker that does not answer
    at the start, or refuses, is an error.
    """

    schemes = ("mqtt", "mqtts")
    needs = ("paho",)
    extra = "mqtt"

    def __init__(self, scheme: str, address: str, options: Options) -> None:
        super().__init__(scheme, address.rpartition("@")[2], options)
        try:
            url = urlsplit(f"{scheme}://{address}")
            host, port = url.hostname, url.port or PORTS[scheme]
        except ValueError:
            host, port = None, 0
        path = address.partition("/")[2]  # of a topic, `?` is a letter as any other
        topic = "" if host is None else unquote(path)
        if not host or not topic or "+" in topic or "#" in address:
            raise UsageError(
                "is no address of one topic" if host else "is no address of a broker",
                where=self.title,
                remedy=f"Give {scheme}://HOST[:PORT]/TOPIC, without + and #: one watch, one topic",
            )
        self._tls, self._host, self._port, self._topic = scheme == "mqtts", host, port, topic
        self._user = unquote(url.username or "") or os.environ.get(USER)
        self._password = unquote(url.password or "") or os.environ.get(PASSWORD)
        self._mailbox = Mailbox()
        self._answered = threading.Event()
        self._lost = False

    def events(self) -> Generator[Event, None, None]:
        """Give what is published from now on, and the retained message.

        Raises:
            SourceError: The broker cannot be reached, does not answer or refuses.
        """
        client = self._client()
        try:
            client.connect(
                self._host, self._port, keepalive=KEEPALIVE, properties=self._properties()
            )
        except OSError as error:  # of TLS too
            raise self._failed(f"cannot be reached ({error.strerror or error})") from error
        client.loop_start()
        try:
            if not self._answered.wait(PATIENCE):
                raise self._failed(f"has not answered within {PATIENCE:g} s as a broker does")
            yield from self.hello()
            for event in self._mailbox.events():
                self.dropped = self._mailbox.dropped
                yield event
        finally:
            client.disconnect()
            client.loop_stop()

    def _client(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = PATIENCE
        client.reconnect_delay_set(1, SLOWEST_RETRY)
        if self._user:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _properties(self) -> Any:
        """Have the broker keep back what is larger than any message may be."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        untyped: Any = Properties
        properties = untyped(PacketTypes.CONNECT)
        properties.MaximumPacketSize = 2 * MAX_BYTES
        return properties

    def _on_connect(
        self, client: Client, _: object, flags: object, code: ReasonCode, properties: object
    ) -> None:
        if not code.is_failure:
            client.subscribe(self._topic, qos=1)
        elif not self._answered.is_set():
            self._end(f"refuses the connection ({code})")

    def _on_subscribe(
        self, client: Client, _: object, mid: int, codes: list[ReasonCode], properties: object
    ) -> None:
        if codes[0].is_failure:
            self._end(f"does not let the topic be read ({codes[0]})")
            return
        self._mailbox.put(Notice(f"Connected {'again ' * self._lost}to {self.title}."))
        self._answered.set()

    def _on_disconnect(
        self, client: Client, _: object, flags: object, code: ReasonCode, properties: object
    ) -> None:
        if self._answered.is_set() and code.is_failure and not self._lost:
            self._mailbox.put(
                Notice(f"Lost the connection to {self.title} ({code}); trying again.", lost=True)
            )
        self._lost = self._answered.is_set()

    def _on_message(self, client: Client, _: object, message: Any) -> None:
        self._mailbox.put(self.understood(bytes(message.payload)))

    def _end(self, what: str) -> None:
        self._mailbox.fail(self._failed(what))
        self._answered.set()

    def _failed(self, what: str) -> SourceError:
        return SourceError(
            f"the broker {printable(what)}",
            where=self.title,
            remedy=f"Check address, port, {USER} and {PASSWORD}, and that the broker runs",
        )
