"""/health: whether answers come, and everything that is not as it should be."""

from time import monotonic

from edgert import __version__
from edgert.optional import require

SILENT_S = 10.0  # without a result for so long, a service is not well


def reasons(worker):
    """Everything that is not as it should be, in words."""
    found = [reason for part in worker.parts for reason in part.reasons()] + worker.resources.reasons()
    if worker.events is not None:
        found += worker.events.reasons()
    return found + [text for text in (worker.notes.text, worker.notes.store) if text]


def health(worker):
    """(HTTP status, dict): 200 with status "ok" or "degraded" and its reasons, 503 where no answers come.

    A camera's service answers frames; one for prompts alone answers a question of its own where nobody else asks.
    """
    found = reasons(worker)
    last = worker.last_step if worker.vision is None else worker.vision.last_answer
    age_s = None if last is None else monotonic() - last
    answers = age_s is not None and age_s < SILENT_S
    return (200 if answers else 503), {
        "status": ("degraded" if found else "ok") if answers else "no answers",
        "reasons": found,
        "seconds_since_answer": None if age_s is None else round(age_s, 3),
        "answers": sum(part.answers for part in worker.parts),
        "worker_restarts": worker.notes.restarts,
        "models": [_model(part) for part in worker.parts],
        **{key: value for part in worker.parts for key, value in part.describe().items()},
        "version": __version__,
    }


def _model(part):
    loaded = part.model.session.loaded
    return {"file": part.name, "task": part.task, "sha256": loaded.program_sha256.hex()}


def routes(worker):
    """The route of a starlette application."""
    require("starlette", "serving")
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def give(request):
        code, content = health(worker)
        return JSONResponse(content, code, headers={"Cache-Control": "no-store"})

    return [Route("/health", give)]
