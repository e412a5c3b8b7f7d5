"""/metrics and /resources of a running worker.

What Prometheus' client needs is loaded when somebody asks for the first time.
"""

import json

from edgert.errors import EdgertError
from edgert.serve.web import health


def routes(worker):
    """The routes of a starlette application."""
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    made = []

    async def give(request):
        if not made:
            from edgert.serve.web import metrics

            try:
                made.extend(metrics.routes(lambda: state(worker)))
            except EdgertError as error:
                return JSONResponse({"error": str(error)}, 501)
        return await made[0].endpoint(request)

    async def records(request):
        lines = "".join([json.dumps(record) + "\n" for record in worker.resources.records()])
        return Response(lines, media_type="application/jsonl", headers={"Cache-Control": "no-store"})

    return [Route("/metrics", give), Route("/resources", records)]


def state(worker):
    """What `metrics.routes` shows."""
    found = {
        "degraded": len(health.reasons(worker)),
        "record": worker.resources.newest(),
        "restarts": {"worker": worker.notes.restarts},
        "models": {part.task: part.name for part in worker.parts},
    }
    if worker.vision is not None:
        camera, timings = worker.vision.camera, worker.vision.timings
        found["vision"] = {
            "fps": timings.fps(), "frames": timings.count, "dropped": camera.dropped, "reopened": camera.reopened,
            "camera": camera.state, "seconds": worker.vision.durations,
        }  # fmt: skip
        found["restarts"]["camera"] = camera.reopened
    if worker.text is not None:
        found["text"], found["text_seconds"] = worker.text.answerer.state(), worker.text.durations
    return found
