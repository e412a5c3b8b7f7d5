"""Events of a running service, told to a real Mosquitto (apt install mosquitto)."""

import socket

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("paho.mqtt")

from running import Service
from test_mqtt import Broker, Listener, until


def test_a_service_publishes_what_it_sees_and_says_goodbye(tmp_path, model_files):
    broker = Broker(tmp_path)
    listener, running = Listener(broker.port), None
    try:
        words = (model_files / "cells.bin", "--camera", "synthetic:240x160@20")
        running = Service(tmp_path, *words, "--mqtt", f"mqtt://127.0.0.1:{broker.port}/home").until_ready()
        until(lambda: any(topic.endswith("/counts") for topic in listener.told))
        base = next(topic for topic in listener.told if topic.endswith("/counts")).rpartition("/")[0]
        assert base.startswith("home/")
        until(lambda: listener.told.get(f"{base}/availability") == b"online")
        until(lambda: (listener.json(f"{base}/service") or {}).get("camera") == "ok", 30)
        assert set(listener.json(f"{base}/counts")) == {"red", "green", "blue"}
        name = listener.json(f"homeassistant/sensor/{base.partition('/')[2]}/fps/config")["device"]["name"]
        assert name == socket.gethostname()
        running.until(lambda: running.health().get("reasons") == [])
        broker.stop()
        troubled = running.until(lambda: "mqtt: " in str(running.health().get("reasons")) and running.health())
        running.until(lambda: running.health().get("answers", 0) > troubled["answers"] + 20)
        broker.start()
        until(lambda: listener.told.get(f"{base}/availability") == b"online", 30)
        running.until(lambda: running.health().get("reasons") == [], 30)
        assert running.stop()[0] == 0
        until(lambda: listener.told[f"{base}/availability"] == b"offline")
    finally:
        if running is not None:
            running.close()
        listener.close()
        broker.stop()
