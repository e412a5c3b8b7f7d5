"""Chat templates: Jinja programs that came with a model file, so a stranger's.

They run in Jinja's sandbox with few filters and methods, and on a budget: whatever a template loops over, calls, joins
or writes is paid for before it is done, so neither time nor memory goes beyond a constant.
"""

from functools import wraps

from edgert.errors import InputError, ModelFormatError
from edgert.optional import require

MAX_SOURCE = 1 << 16  # characters; the longest in use have 20,000
BUDGET = 1 << 23  # characters that all steps of one rendering may make
_STEP = 64  # what a call or a turn of a loop costs, in characters: a hundred thousand turns are the end
_NODE = 16  # what each part of an expression costs, and each entry of a list that is looked at

# Filters that look at a value's own length alone, and those that make a text of all of it.
_SHALLOW = ("count", "d", "default", "first", "items", "last", "length", "list", "map", "reject", "rejectattr",
            "reverse", "select", "selectattr")  # fmt: skip
_DEEP = ("capitalize", "float", "int", "lower", "safe", "string", "title", "trim", "upper")
_TESTS = ("boolean", "defined", "eq", "==", "equalto", "even", "false", "float", "in", "integer", "iterable", "mapping",
          "ne", "!=", "none", "number", "odd", "sequence", "string", "true", "undefined")  # fmt: skip
_METHODS = {
    str: ("capitalize", "count", "endswith", "find", "isalpha", "isdigit", "lower", "lstrip", "removeprefix",
          "removesuffix", "rfind", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper"),
    dict: ("get", "items", "keys", "values"),
    list: ("count", "index"),
    tuple: ("count", "index"),
}  # fmt: skip


def template(source, **words):
    """A function from messages (dicts of role and content) to the text that the model goes on with.

    source: Jinja. words: what the template may name besides `messages`: bos_token, eos_token. One thread at a time.
    Raises: ModelFormatError if it is no such template, EdgertError if Jinja is missing.
    """
    jinja2 = require("jinja2", "this model's chat template")
    require("jinja2.sandbox", "this model's chat template")
    if len(source) > MAX_SOURCE:
        raise ModelFormatError(f"text.chat_template has {len(source):,} characters; the limit is {MAX_SOURCE:,}")
    purse = _Purse()
    try:
        program = _compiled(jinja2, source, purse)
    except jinja2.TemplateSyntaxError as error:
        raise ModelFormatError(f"text.chat_template, line {error.lineno}: {error.message}") from None
    except Exception as error:  # deep nesting and the like end in errors of many kinds
        raise ModelFormatError(f"text.chat_template: {type(error).__name__}: {error!s:.200}") from None

    def render(messages):
        purse.left = BUDGET
        try:
            return "".join(
                program.generate(
                    messages=messages, add_generation_prompt=True, tools=None, documents=None, **words,
                )
            )  # fmt: skip
        except InputError:
            raise
        except Exception as error:  # a stranger's program can fail in any way
            kind = type(error).__name__
            raise InputError(f"messages: the model's chat template fails on them ({kind}: {error!s:.200})") from None

    return render


class _Purse:
    """What a rendering may still spend, in characters."""

    def __init__(self):
        self.left = BUDGET

    def pay(self, price):
        self.left -= price
        if self.left < 0:
            raise InputError(f"messages: the model's chat template needs more than its {BUDGET:,} characters of work")

    def weigh(self, value):
        """Pay for all that a value holds, as lists of lists may hold more than they look like. Returns it."""
        rest = [value]
        while rest:
            part = rest.pop()
            self.pay(_NODE + len(part) // 8 if isinstance(part, str) else _NODE)
            if isinstance(part, dict):
                rest += part.keys()
                rest += part.values()
            elif isinstance(part, (list, tuple)):
                rest += part
        return value

    def text(self, value):
        """str(value), paid for."""
        return str(self.weigh(value))


def _size(value):
    """Characters or entries of a value; 0 where it has no length."""
    return len(value) if isinstance(value, (str, list, tuple, dict)) else 0


def _compiled(jinja2, source, purse):
    environment, nodes = _environment(jinja2, purse), jinja2.nodes
    tree = environment.parse(source)
    environment.everything = _work(nodes, tree)
    for loop in list(tree.find_all(nodes.For)):
        if loop.recursive:
            raise ModelFormatError(f"text.chat_template, line {loop.lineno}: recursive loops are not supported")
        loop.iter = _through("paid_turns", loop.iter, nodes, _STEP + _work(nodes, loop))
    _price(nodes, tree)
    return jinja2.Template.from_code(environment, environment.compile(tree), environment.make_globals(None))


def _work(nodes, node):
    """What one turn of a part of a template costs: what it writes as it stands, and its steps."""
    parts = node.find_all(nodes.Node)
    return sum([len(part.data) if isinstance(part, nodes.TemplateData) else _NODE for part in parts])


def _through(name, value, nodes, *arguments):
    constants = [nodes.Const(argument) for argument in arguments]
    return nodes.Filter(value, name, constants, [], None, None, lineno=value.lineno)


def _price(nodes, node):
    """Send what can grow or take long through filters that pay: lists, slices, joins (`a ~ b`), comparisons."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_priced(nodes, each) for each in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _priced(nodes, value))


def _priced(nodes, value):
    if not isinstance(value, nodes.Node):
        return value
    _price(nodes, value)
    if isinstance(value, nodes.Concat):
        return _through("paid_join", nodes.List(value.nodes, lineno=value.lineno), nodes)
    if isinstance(value, (nodes.Compare, nodes.Operand)):
        value.expr = _through("paid", value.expr, nodes)
    elif isinstance(value, (nodes.List, nodes.Dict)) or (isinstance(value, nodes.Tuple) and value.ctx == "load"):
        return _through("paid", value, nodes)
    elif isinstance(value, nodes.Getitem) and isinstance(value.arg, nodes.Slice):
        return _through("paid_slice", value, nodes)
    return value


def _environment(jinja2, purse):
    environment = _sandbox(jinja2, purse)(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], cache_size=0
    )
    filters, tests = environment.filters, environment.tests
    environment.filters = {
        **{name: _paid(filters[name], purse, _size) for name in _SHALLOW},
        **{name: _paid(filters[name], purse) for name in _DEEP},
        **_own_filters(purse),
    }
    environment.tests = {name: _paid(tests[name], purse) for name in _TESTS}
    environment.globals = {**_own_globals(purse), "namespace": environment.globals["namespace"]}
    environment.finalize = purse.text
    return environment


def _sandbox(jinja2, purse):
    macro, loop = jinja2.runtime.Macro, jinja2.runtime.LoopContext
    own = _own_filters(purse)

    class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("+", "*", "**", "%"))

        def call_binop(self, context, operator, left, right):
            if operator == "**" or (operator == "%" and isinstance(left, str)):
                raise jinja2.sandbox.SecurityError(f"{operator} is not for chat templates")
            for one, other in ((left, right), (right, left)):
                many = other if operator == "*" and isinstance(other, int) and other > 0 else 1
                purse.pay(_size(one) * many)
            purse.pay(1 + _digits(left) * (1 + _digits(right) // 64))
            return super().call_binop(context, operator, left, right)

        def call(self, context, function, *args, **kwargs):  # jinja2 passes the first two by place
            owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
            purse.pay(_STEP + _size(owner) + sum(map(_size, args)))
            if type(owner) is str and name in ("join", "replace"):
                return own[name](*((args[0], owner) if name == "join" else (owner, *args[:2])))
            if isinstance(function, macro):
                purse.pay(self.everything)
            elif function not in self.globals.values() and not (
                isinstance(owner, loop) or name in _METHODS.get(type(owner), ())
            ):
                raise jinja2.sandbox.SecurityError(f"{name or 'this'}() is not for chat templates")
            return super().call(context, function, *args, **kwargs)

    return Sandbox


def _digits(value):
    return value.bit_length() if isinstance(value, int) else 0


def _paid(function, purse, size=None):
    """A filter or test that pays for what it is given: for its size, or for all that it holds."""
    at = 1 if hasattr(function, "jinja_pass_arg") else 0
    pay = purse.weigh if size is None else lambda value: purse.pay(size(value))

    @wraps(function)
    def paid(*args, **kwargs):
        purse.pay(_STEP)
        for value in args[at:]:
            pay(value)
        return function(*args, **kwargs)

    return paid


def _own_filters(purse):
    def paid_turns(values, price):
        for value in values:
            purse.pay(price)
            yield value

    def paid_slice(value):
        purse.pay(_size(value))
        return value

    def join(values, d=""):
        texts, between = [purse.text(value) for value in values], purse.text(d)
        purse.pay(_STEP + sum(map(len, texts)) + len(between) * len(texts))
        return between.join(texts)

    def replace(text, old, new):
        text, old, new = purse.text(text), purse.text(old), purse.text(new)
        purse.pay(_STEP + len(text) + text.count(old) * len(new))
        return text.replace(old, new)

    def tojson(value, indent=None):
        import json

        text = json.dumps(purse.weigh(value), ensure_ascii=False, indent=None if indent is None else min(indent, 8))
        purse.pay(_STEP + len(text))
        return text

    return {
        "paid": purse.weigh, "paid_turns": paid_turns, "paid_slice": paid_slice, "paid_join": join, "join": join,
        "replace": replace, "tojson": tojson,
    }  # fmt: skip


def _own_globals(purse):
    def paid_range(*bounds):
        numbers = range(*bounds)
        purse.pay(len(numbers))
        return numbers

    def raise_exception(message):
        raise InputError(f"messages: {purse.text(message):.300}")

    def strftime_now(form):
        from time import strftime

        return strftime(str(form)[:100])

    return {"range": paid_range, "raise_exception": raise_exception, "strftime_now": strftime_now, "dict": dict}
