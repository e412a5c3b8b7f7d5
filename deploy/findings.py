"""What stands in the way of a deployment, judged from what a board says of itself, with the mend for each."""

LEAST_PYTHON = (3, 11)
SPARE_BYTES = 200 << 20  # an environment with NumPy, and room to work
CLOCK_S = 300


def findings(facts, service, need_bytes, now):
    """Sentences for what would fail on the board of `facts`; an empty list if nothing would.

    service: the `units.Unit` that systemd is to run, or None. need_bytes: what is sent. now: this machine's clock, s
    since 1970.
    """
    troubles = [trouble for check in _ALWAYS for trouble in check(facts, need_bytes, now)]
    if service:
        troubles += _system(facts)
        troubles += _port(facts, service)
    if service and service.kind == "camera":
        troubles += _camera(facts, service.source)
        troubles += _files(facts, service.source)
    return troubles


def _processor(facts, need_bytes, now):
    if facts["bits"] != 64:
        yield f"its Python has {facts['bits']} bits: install the 64-bit Raspberry Pi OS"
    elif facts["machine"] not in ("aarch64", "x86_64"):
        yield f"it is a {facts['machine']}: edgert's kernels run on aarch64 and x86_64"


def _python(facts, need_bytes, now):
    version = tuple(facts["python"])
    if version[:2] < LEAST_PYTHON:
        yield f"it has Python {'.'.join(map(str, version))}, 3.11 is needed: Raspberry Pi OS Bookworm or newer has it"
    if not facts["venv"]:
        yield "its Python cannot make virtual environments: sudo apt install python3-venv"


def _system(facts):
    if not facts["systemd"]:
        yield "systemd does not run there: deploy needs it to start and watch the service"


def _disk(facts, need_bytes, now):
    need = need_bytes + SPARE_BYTES
    if facts["disk_free"] < need:
        yield f"its disk has {facts['disk_free'] >> 20:,} MB left, {need >> 20:,} are needed: free some space there"


def _clock(facts, need_bytes, now):
    skew = facts["clock"] - now
    if abs(skew) > CLOCK_S:
        way = "ahead of" if skew > 0 else "behind"
        yield f"its clock is {abs(skew):,.0f} s {way} this machine's: sudo timedatectl set-ntp true"


_ALWAYS = (_processor, _python, _disk, _clock)


def _port(facts, service):
    who = facts["users"].get(f"port {service.port}")
    if who:
        yield f"port {service.port} is taken there by {who}: stop it, or --serve-options '--port N'"


def _camera(facts, source):
    cameras = facts["cameras"]
    kind = source.partition(":")[0]
    devices = []
    if kind in ("camera", "picamera2"):
        devices = [device for device in facts["users"] if device.startswith(("/dev/media", "/dev/video"))]
        if not cameras["picamera2"]:
            yield "its Python has no picamera2: sudo apt install python3-picamera2"
        if cameras["sensors"] == 0:
            yield (
                "it finds no camera: check the ribbon's seat and side, and camera_auto_detect=1 in "
                "/boot/firmware/config.txt, then reboot"
            )
    elif source.startswith("/dev/video"):
        devices = [source] if source in facts["users"] else []
        if source not in cameras["video"]:
            known = ", ".join(f"{path} ({name})" for path, name in cameras["video"].items())
            yield f"it has no {source}; it has {known or 'no camera at all: is it plugged in?'}"
    for device in devices[:1]:
        yield f"its camera is in use: {device} by {facts['users'][device]}: stop that"


def _files(facts, source):
    """Of a camera that is pictures or a film."""
    if source.startswith(("/home/", "/root/", "/tmp/")):
        yield f"a service sees neither /home nor /root nor /tmp: put {source} elsewhere, below /srv for example"
    elif source.startswith("/") and not source.startswith("/dev/") and not facts["source"]:
        yield f"it has no {source}: copy it there first"
