"""Where a worker tells what it sees and how it is, beside its own pages: an MQTT broker."""

import os

from edgert.optional import require
from edgert.serve import mqtt


def check(url):
    """Raises: InputError if the address of the broker is wrong, EdgertError if paho-mqtt is missing."""
    require("paho.mqtt", "--mqtt")
    mqtt.Address(url)


class Events:
    """Publishes for a worker until close(); only the one in charge may, as a broker knows it by its name."""

    def __init__(self, url, worker):
        self._worker, labels = worker, ()
        if worker.vision is not None:
            labels = worker.vision.model.metadata.labels
        self._publisher = mqtt.Publisher(url, os.uname().nodename, labels)
        if worker.vision is not None:
            worker.vision.sinks.append(self._publisher.detections)

    def tell(self, record):
        """A new record of resources: how the service is."""
        worker, figures = self._worker, {"temperature_c": record["temperature_c"], "memory_mb": record["rss_mb"]}
        figures |= {"trouble": record["trouble"], "restarts": worker.notes.restarts}
        if worker.vision is not None:
            figures |= {"fps": record["fps"], "latency_ms": record["latency_p50_ms"]}
            figures["camera"] = worker.vision.camera.state
        if worker.text is not None:
            figures["tokens_per_s"] = worker.text.answerer.state()["decode_tokens_per_s"]
        self._publisher.service(figures)

    def reasons(self):
        return [f"mqtt: {self._publisher.trouble}"] if self._publisher.trouble else []

    def close(self):
        self._publisher.close()
