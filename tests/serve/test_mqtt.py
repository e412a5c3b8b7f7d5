"""Events over MQTT: against a real Mosquitto, where one is installed (apt install mosquitto)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("paho.mqtt")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgert.errors import InputError
from edgert.serve.mqtt import Address, Publisher


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def seen(*labels, kind="detect", score=0.9):
    return SimpleNamespace(kind=kind, items=[SimpleNamespace(label=label, score=score) for label in labels])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Broker:
    """A Mosquitto with these lines of configuration beside its port."""

    def __init__(self, folder, *lines, anonymous=True):
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            pytest.skip("no Mosquitto here (apt install mosquitto)")
        self.port, self.file = free_port(), folder / "mosquitto.conf"
        first = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(anonymous).lower()}"]
        if os.getuid() == 0:
            first.append("user root")  # another could not read the test's files
        self.file.write_text("\n".join([*first, *lines]) + "\n")
        self.command = [program, "-c", str(self.file)]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        until(self.answers)

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        self.process.kill()
        self.process.wait()


class Listener:
    """What the broker tells a subscriber of everything: the newest payload of each topic."""

    def __init__(self, port, user=None, password=None):
        self.told = {}
        self.client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(user, password)
        self.client.on_message = lambda client, userdata, message: self.told.update({message.topic: message.payload})
        self.client.on_connect = lambda client, *rest: client.subscribe("#", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def json(self, topic):
        return json.loads(self.told.get(topic, b"null"))

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    running = Broker(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def listener(broker):
    listening = Listener(broker.port)
    yield listening
    listening.close()


@pytest.fixture
def publisher(broker):
    publishing = Publisher(f"mqtt://127.0.0.1:{broker.port}", "Pi, door", ("person", "traffic light"), period_s=0.05)
    yield publishing
    publishing.close()


def test_counts_are_published_and_retained(broker, listener, publisher):
    until(lambda: listener.json("edgert/pi_door/counts") == {"person": 0, "traffic_light": 0})
    publisher.detections(seen("person", "person"))
    publisher.detections(seen("person"))
    until(lambda: listener.json("edgert/pi_door/counts") == {"person": 2, "traffic_light": 0})
    late = Listener(broker.port)
    until(lambda: late.json("edgert/pi_door/counts") is not None)
    until(lambda: late.told.get("edgert/pi_door/availability") == b"online")
    late.close()
    publisher.detections(seen())
    until(lambda: listener.json("edgert/pi_door/counts") == {"person": 0, "traffic_light": 0})


def test_home_assistant_finds_the_sensors(listener, publisher):
    publisher.service({"fps": 29.9, "temperature_c": 51.0, "camera": "ok", "trouble": "", "memory_mb": None})
    wanted = {
        "sensor": {"person_count", "traffic_light_count", "fps", "temperature_c", "trouble"},
        "binary_sensor": {"person_present", "traffic_light_present", "camera"},
    }
    topics = {f"homeassistant/{kind}/pi_door/{thing}/config" for kind, things in wanted.items() for thing in things}
    until(lambda: topics <= set(listener.told))
    entries = [listener.json(topic) for topic in topics]
    assert len({entry["unique_id"] for entry in entries}) == len(topics)
    for entry in entries:
        assert entry["availability_topic"] == "edgert/pi_door/availability"
        assert entry["state_topic"] in ("edgert/pi_door/counts", "edgert/pi_door/service")
        assert entry["device"] == {"identifiers": ["edgert_pi_door"], "name": "Pi, door", "manufacturer": "edgert"}
    until(lambda: listener.json("edgert/pi_door/service") == {
        "fps": 29.9, "temperature_c": 51.0, "camera": "ok", "trouble": ""
    })  # fmt: skip


def test_templates_of_the_sensors_give_their_values(listener, publisher):
    jinja2 = pytest.importorskip("jinja2")
    topic = "homeassistant/{}/pi_door/{}/config"
    until(lambda: topic.format("sensor", "person_count") in listener.told)
    until(lambda: topic.format("binary_sensor", "person_present") in listener.told)
    for kind, thing, value in (("sensor", "person_count", "2"), ("binary_sensor", "person_present", "ON")):
        template = jinja2.Template(listener.json(topic.format(kind, thing))["value_template"])
        assert template.render(value_json={"person": 2}) == value


def test_home_assistant_that_starts_again_is_told_again(listener, publisher):
    topic = "homeassistant/sensor/pi_door/person_count/config"
    until(lambda: topic in listener.told)
    listener.told.clear()
    listener.client.publish("homeassistant/status", "online")
    until(lambda: topic in listener.told and "edgert/pi_door/counts" in listener.told)


def test_a_broker_that_was_away_is_told_everything(broker, listener, publisher, capsys):
    until(lambda: listener.json("edgert/pi_door/counts"))
    broker.stop()
    until(lambda: publisher.trouble)
    for _ in range(1000):
        publisher.detections(seen("person"))  # nothing waits for the broker
    broker.start()
    listener.told.clear()
    until(lambda: listener.json("edgert/pi_door/counts") == {"person": 1, "traffic_light": 0}, 30)
    until(lambda: listener.told.get("edgert/pi_door/availability") == b"online")
    until(lambda: "homeassistant/sensor/pi_door/person_count/config" in listener.told)
    assert publisher.trouble == ""
    assert capsys.readouterr().err.count("the connection to the broker broke") == 1


def test_a_service_that_is_killed_is_offline_and_one_that_ends_says_so(broker, listener):
    script = (
        "import sys, time; from edgert.serve.mqtt import Publisher\n"
        f"p = Publisher('mqtt://127.0.0.1:{broker.port}', 'killed'); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    until(lambda: listener.told.get("edgert/killed/availability") == b"online")
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: listener.told["edgert/killed/availability"] == b"offline")
    ending = Publisher(f"mqtt://127.0.0.1:{broker.port}", "ending", period_s=0.05)
    until(lambda: listener.told.get("edgert/ending/availability") == b"online")
    ending.close()
    until(lambda: listener.told["edgert/ending/availability"] == b"offline")


def test_user_and_password(tmp_path, monkeypatch, capsys):
    passwords = tmp_path / "passwords"
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("no Mosquitto here (apt install mosquitto)")
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "me", "p@ss/word"], check=True)
    passwords.chmod(0o644)
    broker = Broker(tmp_path, f"password_file {passwords}", anonymous=False)
    url = f"127.0.0.1:{broker.port}/home"
    try:
        listener = Listener(broker.port, "me", "p@ss/word")
        monkeypatch.setenv("EDGERT_MQTT_USER", "me")
        monkeypatch.setenv("EDGERT_MQTT_PASSWORD", "p@ss/word")
        publishers = [Publisher(f"mqtt://{url}", "environment", period_s=0.05)]
        monkeypatch.delenv("EDGERT_MQTT_USER")
        publishers.append(Publisher(f"mqtt://me:p%40ss%2Fword@{url}", "url", period_s=0.05))
        until(lambda: {"home/environment/availability", "home/url/availability"} <= set(listener.told))
        publishers.append(Publisher(f"mqtt://me:wrong@{url}", "wrong", period_s=0.05))
        until(lambda: "refuses" in publishers[-1].trouble)
        assert "wrong@" not in capsys.readouterr().err
        for publisher in publishers:
            publisher.close()
        listener.close()
    finally:
        broker.stop()


def test_tls_with_a_certificate_of_ones_own(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o644)
    broker = Broker(tmp_path, f"certfile {certificate}", f"keyfile {key}")
    try:
        trusted = Publisher(f"mqtts://127.0.0.1:{broker.port}?ca={certificate}", "trusted", period_s=0.05)
        until(lambda: trusted.trouble == "")
        stranger = Publisher(f"mqtts://127.0.0.1:{broker.port}", "stranger", period_s=0.05)
        until(lambda: "reached" in stranger.trouble or "broke" in stranger.trouble)
        trusted.close()
        stranger.close()
    finally:
        broker.stop()


def test_a_broker_that_is_nowhere_holds_nobody_up():
    publisher = Publisher("mqtt://192.0.2.1:9", "lost", ("person",), period_s=0.05)
    for _ in range(1000):
        publisher.detections(seen("person"))
    publisher.service({"fps": 1.0})
    publisher.close()
    assert publisher.trouble


def test_labels_become_keys_that_are_safe_and_different():
    publisher = Publisher("mqtt://127.0.0.1:9", "x", ("a b", "a-b", "é", "'] }}{{", "fps", "line\nbreak\x1b[2J"))
    keys = [publisher._key(label) for label in ("a b", "a-b", "é", "'] }}{{", "fps", "line\nbreak\x1b[2J")]
    publisher.close()
    assert keys == ["a_b", "a_b_2", "label", "label_2", "fps_2", "line_break_2j"]
    assert publisher._words["line_break_2j"] == "line break [2J"


def test_a_classifier_counts_its_best_class_where_it_is_sure(broker, listener):
    publisher = Publisher(f"mqtt://127.0.0.1:{broker.port}", "c", ("cat", "dog"), period_s=0.05)
    publisher.detections(seen("cat", "dog", kind="classify"))
    until(lambda: listener.json("edgert/c/counts") == {"cat": 1, "dog": 0})
    publisher.detections(seen("dog", kind="classify", score=0.2))
    until(lambda: listener.json("edgert/c/counts") == {"cat": 0, "dog": 0})
    publisher.detections(seen("dog", kind="pose"))
    publisher.close()


def test_of_many_labels_only_those_that_were_seen_are_announced(broker, listener):
    publisher = Publisher(f"mqtt://127.0.0.1:{broker.port}", "many", [f"class {i}" for i in range(80)], period_s=0.05)
    publisher.detections(seen("class 7"))
    until(lambda: listener.json("edgert/many/counts") == {"class_7": 1})
    publisher.close()
    assert len([topic for topic in listener.told if topic.startswith("homeassistant/")]) == 2


@pytest.mark.parametrize(
    "url",
    ["", "broker", "http://x", "mqtt://", "mqtt://:1883", "mqtt://x:99999", "mqtt://x:port", "mqtt://x/a/#", "mqtt://[::1",
     "mqtt://x?ca=file", "mqtts://x?wrong=1", "mqtts://x?ca=/nowhere.pem"],
)  # fmt: skip
def test_urls_that_are_none(url):
    with pytest.raises(InputError, match="--mqtt"):
        Publisher(url, "x")


def test_what_an_address_says():
    address = Address("mqtts://me:p%40ss@broker.local/a/b?ca=x", {})
    found = (address.host, address.port, address.user, address.password, address.prefix, address.tls)
    assert found == ("broker.local", 8883, "me", "p@ss", "a/b", {"ca": "x"})
    address = Address("mqtt://broker.local", {"EDGERT_MQTT_USER": "u", "EDGERT_MQTT_PASSWORD": "p"})
    found = (address.port, address.user, address.password, address.prefix, address.tls)
    assert found == (1883, "u", "p", "edgert", None)
