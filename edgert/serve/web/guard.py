"""Who may ask: a token where the service is open to others, and nobody else's web page.

A request over the unix socket needs neither: who may open the socket's file may ask.
"""

import hmac
import socket
from base64 import b64decode

from edgert.errors import InputError
from edgert.serve.web.wire import MAX_HEADER_BYTES

MAX_TOKEN, LEAST_TOKEN = 512, 16
_READING = ("GET", "HEAD")


def read_token(path):
    """The token in a file's first line. Raises: InputError if it is no token, OSError if it cannot be read."""
    with open(path, "rb") as file:
        token = file.read(MAX_TOKEN + 2).partition(b"\n")[0].strip()
    if not LEAST_TOKEN <= len(token) <= MAX_TOKEN or not all(33 <= byte < 127 for byte in token):
        raise InputError(
            f"{path}: a token has {LEAST_TOKEN} to {MAX_TOKEN} letters, digits or signs, without spaces; "
            "`openssl rand -hex 32` makes one"
        )
    return token.decode()


def guarded(app, token=None):
    """The ASGI application `app` for those who may use it.

    token: asked for as `Authorization: Bearer TOKEN`, or as the password of Basic, which browsers can ask for. Without
    one, the Host of a request must be an address or a name of this machine: a page elsewhere whose name was made to
    lead here is refused. Scripts of other pages may not change or ask anything.
    """
    wanted = None if token is None else token.encode()

    async def check(scope, receive, send):
        refusal = _refusal(scope, wanted) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, *refusal)

    return check


def _refusal(scope, wanted):
    """(HTTP status, message), or None for a request that is welcome."""
    headers = scope.get("headers", ())
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return 431, f"the header fields have more than {MAX_HEADER_BYTES:,} bytes"
    fields = dict(headers)
    if b"transfer-encoding" in fields and b"content-length" in fields:
        return 400, "a length and chunks: a proxy before us could read another request than we do"  # RFC 9112, 6.1
    host, origin = fields.get(b"host", b""), fields.get(b"origin")
    if origin is not None and scope.get("method") not in _READING and origin.partition(b"://")[2] != host:
        return 403, "this comes from a page of another site"
    if _over_unix_socket(scope):
        return None
    if wanted is None:
        return None if _is_this_machine(host) else (403, "Host is neither an address nor a name of this machine")
    given = _token(fields.get(b"authorization", b""))
    if given is None or not hmac.compare_digest(given, wanted):
        return 401, "a token is needed: Authorization: Bearer TOKEN"
    return None


def _over_unix_socket(scope):
    server = scope.get("server")
    return server is None or server[1] is None


def _token(authorization):
    """The token in an Authorization field, or None."""
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return b64decode(value, validate=True).partition(b":")[2]
        except ValueError:
            return None
    return None


def _is_this_machine(host):
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    if name.removesuffix(".local") == socket.gethostname().lower().partition(".")[0]:
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
            return True
        except OSError:
            continue
    return False


async def _refuse(scope, receive, send, status, message):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        return
    from starlette.responses import JSONResponse

    kind = "authentication_error" if status == 401 else "invalid_request_error"
    content = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    # Basic, as browsers ask for a name and a password then; the name is not looked at.
    headers = {"WWW-Authenticate": 'Basic realm="edgert", charset="UTF-8"'} if status == 401 else {}
    await JSONResponse(content, status, headers={"Cache-Control": "no-store", **headers})(scope, receive, send)
