"""A camera's service on a virtual board: what the tests deploy, and how they wait until it answers."""

from virtual_board import TOP

CIFAR = TOP / "models/cifar10/cifar10_int8.bin"
PLAIN = TOP / "models/cifar10_plain/cifar10_plain_int8.bin"
SYNTHETIC = ("--camera", "synthetic:320x240@2")
UNIT = "edgert-camera.service"
PATIENCE_S = 240


def deploy(board, model, *words):
    """What `edgert deploy` said of its steps; it must succeed."""
    code, out, error = board.deployed(board, model, *words)
    assert code == 0, out + error
    return error


def is_well(board):
    return board.health("camera").get("status") == "ok"


def has_camera(board, model=CIFAR):
    """A camera's service answers; `model` is deployed if none does, whatever a busy emulator made of it before."""
    if board.current().get("units") != [UNIT] or not is_well(board):
        deploy(board, model, "--insist", *SYNTHETIC)
    board.until(lambda: is_well(board), PATIENCE_S, "a camera's service")
