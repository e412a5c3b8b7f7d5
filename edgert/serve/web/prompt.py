"""The page for typing prompts: three files and the figures that it shows."""

from importlib.resources import files

from edgert.optional import require

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def routes(answerer, path="/prompt"):
    """The starlette routes of the page over an Answerer, which answers at `path`."""
    require("starlette", "the prompt page")
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def static(where, name):
        content = (files("edgert.serve.web") / name).read_bytes()
        kind = _KINDS[name.rpartition(".")[2]]

        async def give(request):
            return Response(content, media_type=kind, headers=HEADERS)

        return Route(where, give)

    async def state(request):
        return JSONResponse(answerer.state(), headers=HEADERS)

    return [
        static(path, "prompt.html"),
        static("/page.css", "page.css"),  # what both pages share
        static("/prompt.css", "prompt.css"),
        static("/prompt.js", "prompt.js"),
        Route("/prompt.json", state),
    ]
