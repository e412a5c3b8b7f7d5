"""/health: whether answers come, and everything that is not as it should be."""

from time import monotonic

from edgert.optional import require

SILENT_S = 10.0  # without an answer to a frame for so long, a service is not well


def health(worker):
    """(HTTP status, dict): 200 with status "ok" or "degraded" and its reasons, 503 where no answers come."""
    vision, reasons = worker.vision, []
    state = vision.camera.state
    if state != "ok":
        reasons.append(f"camera: {state}")
    board = vision.governor.state()
    if board["throttled"]:
        reasons.append(f"board: throttled or under-voltage ({board['throttled']:#x})")
    if worker.notes.text:
        reasons.append(worker.notes.text)
    age_s = None if worker.last_real is None else monotonic() - worker.last_real
    answers = age_s is not None and age_s < SILENT_S
    status = "degraded" if reasons else "ok"
    return (200 if answers else 503), {
        "status": status if answers else "no answers",
        "reasons": reasons,
        "seconds_since_answer": None if age_s is None else round(age_s, 3),
        "model": {"file": vision.name, "sha256": vision.model.session.loaded.program_sha256.hex()},
        "answers": vision.timings.count,
        "fps": round(vision.timings.fps(), 2),
        "camera": {"state": state, "captured": vision.camera.captured, "dropped": vision.camera.dropped,
                   "reopened": vision.camera.reopened},
        "worker_restarts": worker.notes.restarts,
    }  # fmt: skip


def routes(worker):
    """The route of a starlette application."""
    require("starlette", "serving")
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def give(request):
        code, found = health(worker)
        return JSONResponse(found, code, headers={"Cache-Control": "no-store"})

    return [Route("/health", give)]
