"""Events out over MQTT: what a camera sees and how the service is, with Home Assistant's discovery.

    PREFIX/NODE/availability    "online" or "offline" (the broker says so when we die), retained
    PREFIX/NODE/counts          {"person": 2, "car": 0}: the most of each label at once in the last second, retained
    PREFIX/NODE/service         {"fps": 29.9, "temperature_c": 51.0, ...}, retained
    homeassistant/...           one retained entry for each sensor, sent again when Home Assistant starts

The camera's thread only counts; a thread of our own publishes, paho's thread talks to the broker and connects again. A
broker that is away costs nothing but the messages meant for it.

Source: https://www.home-assistant.io/integrations/mqtt (discovery, availability).
"""

import json
import os
import threading
from urllib.parse import parse_qs, unquote, urlsplit

from edgert.errors import InputError
from edgert.messages import say
from edgert.optional import require

PERIOD_S = 1.0  # between two messages of counts
SERVICE_PERIOD_S = 10.0
KEEP_ALIVE_S = 30
DISCOVERY = "homeassistant"
_FEW_LABELS = 16  # more are announced one by one, when they are first seen
_SURE = 0.5  # from which score on a classifier's best class counts as there
_SENSORS = {  # key of service(): (name, Home Assistant's class, unit, component)
    "fps": ("Frame rate", None, "fps", "sensor"),
    "latency_ms": ("Camera to answer", "duration", "ms", "sensor"),
    "temperature_c": ("Temperature", "temperature", "°C", "sensor"),
    "tokens_per_s": ("Tokens a second", None, "tokens/s", "sensor"),
    "memory_mb": ("Memory", "data_size", "MiB", "sensor"),
    "restarts": ("Restarts", None, None, "sensor"),
    "trouble": ("Firmware's complaint", None, None, "sensor"),
    "camera": ("Camera", "connectivity", None, "binary_sensor"),
}  # fmt: skip


class Address:
    """A broker: host, port, user, password (None: none), tls (None or dict of ca, cert, key), prefix of the topics.

    url: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX][?ca=FILE&cert=FILE&key=FILE]. environment: where
    EDGERT_MQTT_USER and EDGERT_MQTT_PASSWORD are looked for if the URL has none; a URL is seen by all who may list
    processes.
    Raises: InputError, which never shows the password.
    """

    def __init__(self, url, environment=os.environ):
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong("the host or port is none") from None
        if parts.scheme not in ("mqtt", "mqtts"):
            raise _wrong("it does not begin with mqtt:// or mqtts://")
        if not parts.hostname:
            raise _wrong("it has no host")
        self.host, self.port = parts.hostname, port or (8883 if parts.scheme == "mqtts" else 1883)
        self.user = unquote(parts.username) if parts.username else environment.get("EDGERT_MQTT_USER")
        self.password = unquote(parts.password) if parts.password else environment.get("EDGERT_MQTT_PASSWORD")
        self.prefix = unquote(parts.path).strip("/") or "edgert"
        if "#" in url or any(sign in self.prefix for sign in "+\0$"):
            raise _wrong("its path, the prefix of the topics, has one of the signs + # $")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(options) - {"ca", "cert", "key"}
        if unknown or (options and parts.scheme != "mqtts"):
            raise _wrong("after ? come ca=, cert= and key=, for mqtts:// alone")
        self.tls = options if parts.scheme == "mqtts" else None


def _wrong(why):
    return InputError(f"--mqtt: {why}; it looks like mqtt://broker.local:1883/edgert")


class Publisher:
    """Publishes until close(). url: see Address. name: of the device, such as the machine's. labels: of the model.

    trouble: what keeps messages from the broker, "" while they arrive.
    Raises: InputError for a URL that is none or files of certificates that are none, EdgertError if paho is missing.
    """

    def __init__(self, url, name, labels=(), period_s=PERIOD_S):
        require("paho.mqtt", "--mqtt")
        self._address, self._name, self._period_s = Address(url), name, period_s
        self.node = _slug(name) or "edgert"
        self.base = f"{self._address.prefix}/{self.node}"
        self._keys, self._words = {}, {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._counts, self._most, self._service = {}, {}, {}
        self._announced, self._frames = set(), 0  # frames: since the last message of counts
        if len(labels) <= _FEW_LABELS:
            for label in labels:
                self._counts[self._key(label)] = 0
        self.trouble = "not connected yet"
        self._client = self._connecting()
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, name="edgert-mqtt", daemon=True)
        self._thread.start()

    def detections(self, seen):
        """What one frame showed, a stream.Seen. Takes microseconds and never waits for the broker."""
        items = seen.items
        if seen.kind == "classify":
            items = [item for item in items[:1] if item.score >= _SURE]
        elif seen.kind != "detect":
            return
        with self._lock:
            found = {}
            for item in items:
                key = self._key(item.label)
                found[key] = found.get(key, 0) + 1
            for key, count in found.items():
                self._most[key] = max(self._most.get(key, 0), count)
            self._frames += 1

    def service(self, figures):
        """How the service is: any of fps, latency_ms, temperature_c, tokens_per_s, memory_mb, restarts, trouble (text),
        camera ("ok" or what is wrong). What is None is left out."""
        with self._lock:
            self._service = {name: figures[name] for name in _SENSORS if figures.get(name) is not None}

    def close(self):
        """Say goodbye, if the broker is there; at most two seconds."""
        self._ended.set()
        self._thread.join(self._period_s + 1)
        if self._client.is_connected():
            self._publish("availability", "offline").wait_for_publish(1)
        self._client.disconnect()
        self._client.loop_stop()

    def _connecting(self):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        address = self._address
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"edgert-{self.node}")
        client.max_queued_messages_set(1000)
        client.reconnect_delay_set(1, 30)
        client.will_set(f"{self.base}/availability", "offline", qos=1, retain=True)
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls is not None:
            _set_tls(client, address.tls)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_connect_fail, client.on_message = self._unreachable, self._asked
        client.connect_async(address.host, address.port, KEEP_ALIVE_S)
        return client

    def _connected(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            self._complain(f"the broker refuses us: {reason}")
            return
        if self.trouble:
            say(f"mqtt: connected to {self._address.host}:{self._address.port}")
        self.trouble = ""
        client.subscribe(f"{DISCOVERY}/status")
        self._publish("availability", "online")
        self._again()

    def _disconnected(self, client, userdata, flags, reason, properties):
        if not self._ended.is_set() and not self.trouble:
            self._complain("the connection to the broker broke")

    def _unreachable(self, client, userdata):
        self._complain("the broker cannot be reached")

    def _asked(self, client, userdata, message):
        if message.payload == b"online":  # Home Assistant has just started
            self._again()

    def _complain(self, why):
        """One line for each kind of trouble, not one for each attempt."""
        if why != self.trouble:
            self.trouble = why
            say(f"mqtt: {self._address.host}:{self._address.port}: {why}; trying again")

    def _again(self):
        """Everything once more, for a broker or a Home Assistant that has forgotten it."""
        with self._lock:
            self._announced.clear()

    def _run(self):
        until_service_s = 0.0
        while not self._ended.wait(self._period_s):
            until_service_s -= self._period_s
            if not self.trouble:
                self._tell(until_service_s <= 0)
                until_service_s = SERVICE_PERIOD_S if until_service_s <= 0 else until_service_s

    def _tell(self, service_too):
        with self._lock:
            before = self._counts
            if self._frames:
                self._counts = {key: self._most.get(key, 0) for key in {**before, **self._most}}
                self._most, self._frames = {}, 0
            counts, figures = dict(self._counts), dict(self._service)
            is_first = not self._announced
            news = [key for key in (*counts, *figures) if key not in self._announced]
            self._announced.update(news)
        for key in news:
            self._announce(key)
        if counts and (counts != before or is_first):
            self._publish("counts", json.dumps(counts), qos=0)
        if figures and (service_too or any(key in figures for key in news)):
            self._publish("service", json.dumps(figures), qos=0)

    def _publish(self, what, payload, qos=1):
        return self._client.publish(f"{self.base}/{what}", payload, qos=qos, retain=True)

    def _announce(self, key):
        for component, thing, fields in self._entries(key):
            topic = f"{DISCOVERY}/{component}/{self.node}/{thing}/config"
            self._client.publish(topic, json.dumps(self._entry(thing, fields)), qos=1, retain=True)

    def _entries(self, key):
        """(component, object id, fields) of Home Assistant's sensors for a label or a figure of the service."""
        if key in self._words:
            word, value = self._words[key], f"value_json['{key}']"
            counts = {"state_topic": f"{self.base}/counts"}
            yield "sensor", f"{key}_count", {
                **counts, "name": f"{word} count", "value_template": f"{{{{ {value} }}}}", "state_class": "measurement",
            }  # fmt: skip
            presence = f"{{{{ 'ON' if {value} > 0 else 'OFF' }}}}"
            yield "binary_sensor", f"{key}_present", {
                **counts, "name": word, "value_template": presence, "device_class": "occupancy",
            }  # fmt: skip
            return
        name, kind, unit, component = _SENSORS[key]
        is_well = f"{{{{ 'ON' if value_json['{key}'] == 'ok' else 'OFF' }}}}"
        template = is_well if component == "binary_sensor" else f"{{{{ value_json['{key}'] }}}}"
        fields = {"name": name, "state_topic": f"{self.base}/service", "value_template": template}
        fields |= {"device_class": kind} if kind else {}
        fields |= {"unit_of_measurement": unit, "state_class": "measurement"} if unit else {}
        yield component, key, {**fields, "entity_category": "diagnostic"}

    def _entry(self, thing, fields):
        device = {"identifiers": [f"edgert_{self.node}"], "name": self._name, "manufacturer": "edgert"}
        return {
            **fields, "unique_id": f"edgert_{self.node}_{thing}", "availability_topic": f"{self.base}/availability",
            "device": device,
        }  # fmt: skip

    def _key(self, label):
        """A label as a key that is safe in topics and templates; one for each label."""
        key = self._keys.get(label)
        if key is None:
            key = plain = _slug(label) or "label"
            number = 2
            while key in self._words or key in _SENSORS:
                key, number = f"{plain}_{number}", number + 1
            self._keys[label] = key
            self._words[key] = "".join([letter if letter.isprintable() else " " for letter in label])[:100]
        return key


def _slug(text):
    """Lower-case letters, digits and single underscores of a text."""
    letters = [letter if letter.isascii() and letter.isalnum() else " " for letter in text.lower()]
    return "_".join("".join(letters).split())[:60]


def _set_tls(client, files):
    try:
        client.tls_set(ca_certs=files.get("ca"), certfile=files.get("cert"), keyfile=files.get("key"))
    except (OSError, ValueError) as error:
        raise InputError(f"--mqtt: the files of its certificates cannot be used: {error}") from None
