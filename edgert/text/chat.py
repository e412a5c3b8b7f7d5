"""A conversation as the text that a model goes on with: by the model's own chat template, else by one plain rule.

The plain rule: what a system message says stands alone, the others as "User: ..." and "Assistant: ...", with an empty
line between two messages; the text ends in "Assistant:", and an answer ends where the model writes "User:" itself.
"""

from edgert.errors import InputError

ROLES = ("system", "developer", "user", "assistant")
MAX_MESSAGES = 1_024
PLAIN_STOPS = ("\n\nUser:",)
_SPEAKERS = {"user": "User: ", "assistant": "Assistant: "}


def check_messages(messages):
    """The messages as dicts of role and content, both text. "developer" becomes "system".

    messages: dicts of role and content, a text or a list of {"type": "text", "text": ...}.
    Raises: InputError naming the message and field that is wrong.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise InputError('messages is no list of {"role": ..., "content": ...}')
    if len(messages) > MAX_MESSAGES:
        raise InputError(f"messages has {len(messages):,} entries; the limit is {MAX_MESSAGES:,}")
    return [_checked(message, f"messages[{at}]") for at, message in enumerate(messages)]


def _checked(message, where):
    if not isinstance(message, dict):
        raise InputError(f'{where} is {message!r:.40}; it must be {{"role": ..., "content": ...}}')
    role = message.get("role")
    if role not in ROLES:
        raise InputError(f"{where}.role is {role!r:.40}; this model takes {', '.join(ROLES)}")
    for name in message:
        if name not in ("role", "content", "name") and message[name]:
            raise InputError(f"{where}.{name!r:.40}: this model takes role and content")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join([_part(part, f"{where}.content[{at}]") for at, part in enumerate(content)])
    if not isinstance(content, str):
        raise InputError(f"{where}.content is {content!r:.40}; it must be a text")
    return {"role": "system" if role == "developer" else role, "content": content}


def _part(part, where):
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise InputError(f'{where} is {part!r:.60}; this model takes {{"type": "text", "text": ...}} alone')
    return part["text"]


def plain(messages):
    """The text of checked messages by the plain rule above."""
    lines = [_SPEAKERS.get(message["role"], "") + message["content"] for message in messages]
    return "\n\n".join([*lines, "Assistant:"])
