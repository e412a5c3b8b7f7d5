"""What OpenAI's API lets a client ask, checked: every error begins with the name of the field that is wrong.

Fields that this service cannot honour are refused unless they have the value that changes nothing; fields that it does
not know are refused too, as OpenAI does: a mistyped `max_token` that is passed over would be a silent surprise.
"""

import json

from edgert.errors import InputError
from edgert.serve.web.answers import MAX_TOKENS
from edgert.text.chat import check_messages
from edgert.text.sampling import check_count, check_number
from edgert.text.streaming import check_stops

COMPLETION_TOKENS = 16  # OpenAI's default of /v1/completions
_IGNORED = ("metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user")
_ONLY = {  # field -> the values that change nothing
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "presence_penalty": (0,),
    "frequency_penalty": (0,), "logit_bias": ({},), "suffix": ("",), "tools": ([],), "tool_choice": ("none", "auto"),
    "functions": ([],), "function_call": ("none", "auto"), "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},), "modalities": (["text"],), "audio": (), "prediction": (),
}  # fmt: skip
_SAMPLING = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "min_p": (0.0, 1.0), "repetition_penalty": (0.01, 100.0)}
_COMMON = ("model", "max_tokens", "top_k", "seed", "stop", "stream", "stream_options", *_SAMPLING)
_OF = {"prompt": ("prompt", "echo"), "messages": ("messages", "max_completion_tokens")}


class Request:
    """A checked request.

    prompt: text, token ids, or messages. chat: whether they are messages. stream, usage: whether to stream, and to end
    the stream with the counts. echo: whether the prompt comes first. settings: for `Language.generate`, but
    max_tokens, which is None where the model's context is the limit.
    """

    def __init__(self, fields, chat):
        _check_names(fields, chat)
        self.chat, self.model = chat, _text(fields, "model")
        self.prompt = check_messages(fields.get("messages")) if chat else _prompt(fields.get("prompt"))
        self.stream, self.echo = _flag(fields, "stream"), _flag(fields, "echo")
        self.usage = _usage(fields.get("stream_options"), self.stream)
        if self.echo and not isinstance(self.prompt, str):
            raise InputError("echo is true, but prompt is token ids, not a text")
        self.max_tokens = _max_tokens(fields, chat)
        self.stops = check_stops(_stops(fields.get("stop")))
        self.settings = _settings(fields)

    def begin(self, language):
        """The `Generation` that answers it. Raises: InputError naming the field that is wrong."""
        prompt, stops = self.prompt, self.stops
        if self.chat:
            prompt, more = language.conversation(prompt)
            stops += more
        try:
            ids = language.prompt_ids(prompt)
        except InputError as error:
            if self.chat:
                raise InputError("messages" + str(error).removeprefix("prompt")) from None
            raise
        room = self.max_tokens or max(1, language.cache.context - len(ids))
        return language.generate(ids, room, stops, **self.settings)


def parse(body):
    """The fields in a body of JSON. Raises: InputError, beginning with the field it lies in where that is known."""
    try:
        fields = json.loads(body.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InputError(f"{_field_at(body, error.start)}: byte {error.start} of the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        at = len(error.doc[: error.pos].encode(errors="replace"))
        raise InputError(f"{_field_at(body, at)}: no JSON at byte {at} of the body: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"body: no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InputError('body is no JSON object like {"prompt": "Hello"}')
    return fields


def field_of(message):
    """The field that an error names, as in "messages[1].content is 3": what is before its first space."""
    return message.partition(" ")[0].rstrip(":")


def _no_number(name):
    raise ValueError(f"{name} is no number")


def _field_at(body, at):
    """The last field that begins before a byte of the body."""
    import re

    found = re.findall(rb'"(\w{1,40})"\s{0,9}:', body[max(0, at - 65_536) : at])
    return found[-1].decode() if found else "body"


def _check_names(fields, chat):
    known = (*_COMMON, *_OF["messages" if chat else "prompt"])
    for name, value in fields.items():
        if name in known or name in _IGNORED or value is None:
            continue
        if name not in _ONLY:
            shown = "".join([letter if letter.isalnum() or letter in "_-." else "?" for letter in name[:40]]) or "?"
            raise InputError(f"{shown} is not a field of this request")
        if not any(_same(value, only) for only in _ONLY[name]):
            taken = " or ".join([json.dumps(only) for only in _ONLY[name]]) or "null"
            raise InputError(f"{name} is {_shown(value)}; this service takes {taken} alone")


def _same(value, only):
    """Whether they are equal; 0 and 0.0 are, 0 and false are not."""
    return value == only and isinstance(value, bool) == isinstance(only, bool)


def _shown(value):
    return f"{value!r:.60}"


def _text(fields, name):
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is {_shown(value)}; it must be a text")
    return value


def _flag(fields, name):
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{name} is {_shown(value)}; it must be true or false")
    return bool(value)


def _prompt(value):
    """A text or token ids; OpenAI allows a list of them, of which there must be one here."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, list)):
        value = value[0]
    if isinstance(value, list) and any(isinstance(each, (str, list)) for each in value):
        raise InputError(f"prompt is a list of {len(value):,}; this service answers one prompt a request")
    if value is None:
        return ""  # as OpenAI: the model begins by itself, if it can
    if not isinstance(value, (str, list)):
        raise InputError(f"prompt is {_shown(value)}; it must be a text or token ids")
    return value


def _usage(options, stream):
    if options is None:
        return False
    if not isinstance(options, dict) or not stream:
        raise InputError('stream_options is for streams and looks like {"include_usage": true}')
    for name in options:
        if name not in ("include_usage", "include_obfuscation"):
            raise InputError(f"stream_options has no field {_shown(name)}")
    return _flag(options, "include_usage")


def _max_tokens(fields, chat):
    names = ("max_tokens", "max_completion_tokens") if chat else ("max_tokens",)
    for name in names:
        if fields.get(name) is not None:
            check_count(name, fields[name], 1, MAX_TOKENS)
            return fields[name]
    return None if chat else COMPLETION_TOKENS


def _stops(value):
    if value is None or value == []:
        return ()
    if not isinstance(value, (str, list)):
        raise InputError(f"stop is {_shown(value)}; it must be a text or a list of texts")
    return value


def _settings(fields):
    settings = {"temperature": 1.0}  # OpenAI's default
    for name, (low, high) in _SAMPLING.items():
        if fields.get(name) is not None:
            check_number(name, fields[name], low, high)
            settings[name] = max(fields[name], 1e-9) if name == "top_p" else fields[name]
    if fields.get("top_k") is not None:
        check_count("top_k", fields["top_k"], 1, 2**31 - 1)
        settings["top_k"] = fields["top_k"]
    if fields.get("seed") is not None:
        check_count("seed", fields["seed"], -(2**63), 2**63 - 1)
        settings["seed"] = fields["seed"] % 2**64
    return settings
