"""What tests ask the system about processes."""


def runs(pid):
    """Whether the process is there and not only waited for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
