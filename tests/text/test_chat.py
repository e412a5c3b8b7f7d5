"""Conversations as prompts: templates in use, the plain rule, and templates that mean harm."""

import pytest
from vocabularies import tiny_byte_level

pytest.importorskip("jinja2")

from edgert.errors import InputError, ModelFormatError
from edgert.graph import Text
from edgert.text.chat import check_messages, plain
from edgert.text.language import language
from edgert.text.template import template

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": " Why? "},
]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
NAMESPACE = r"""{%- set ns = namespace(found=false) -%}
{%- for m in messages[1:] -%}
  {%- if m.role == 'user' and not ns.found -%}
    {%- set ns.found = true -%}
    {{ m.content.split('</x>')[-1].lstrip('\n') ~ '|' ~ loop.index }}
    {% break %}
  {%- endif -%}
{%- endfor -%}
{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join('+') }}
{{- {'a': [1, 2]}|tojson }}{{ tools is none }}{% macro f(y) %}<{{ y }}>{% endmacro %}{{ f(3) }}"""


def test_templates_in_use_give_what_they_say():
    assert template(CHATML)(TALK[1:2]) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    wanted = "".join([head.format(m["role"]) + m["content"].strip() + "<|eot_id|>" for m in TALK])
    assert template(LLAMA3, bos_token="<s>")(TALK) == "<s>" + wanted + head.format("assistant")
    assert template(NAMESPACE)(TALK) == 'Hello|1\nHello+ Why? {"a": [1, 2]}True<3>'


def test_a_template_gives_the_same_as_the_library_that_templates_are_written_for():
    import jinja2

    for source in (CHATML, LLAMA3, NAMESPACE):
        options = {"trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.loopcontrols"]}
        plain_jinja = jinja2.Environment(**options).from_string(source)
        wanted = plain_jinja.render(messages=TALK, add_generation_prompt=True, tools=None, bos_token="<s>")
        assert template(source, bos_token="<s>")(TALK) == wanted


def test_a_template_that_refuses_names_the_messages():
    with pytest.raises(InputError, match="messages: no system role here"):
        template("{{ raise_exception('no system role here') }}")(TALK)


HARM = [
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(1000000) %}{% for i in range(1000000) %}{% endfor %}{% endfor %}",
    "{% set ns=namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns=namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns=namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{{ 'a' * 1000000000000 }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ '%1000000000d' % 3 }}",
    "{{ '{:1000000000}'.format(3) }}",
    "{{ ('a' * 1000).replace('', 'b' * 100000) }}",
    "{{ (3).to_bytes(1000000000, 'big') }}",
    "{% macro f(n) %}{{ f(n-1) }}{{ f(n-1) }}{% endmacro %}{{ f(900) }}",
    "{{ 9**9**9 }}",
    "{% set x %}{% for i in range(500000) %}" + "a" * 10_000 + "{% endfor %}{% endset %}{{ x }}",
    "{% set s='a'*1000000 %}{% for i in range(400000) %}{% set y = s == s ~ '' %}{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages|map(attribute='__class__.__mro__')|list }}",
    "{{ raise_exception.__globals__.keys() }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(a=1) }}",
    "{{ lipsum(1000000) }}",
    "{% for a in [[1, [2]]] recursive %}{{ loop(a) }}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{% if",
    "x" * 100_000,
    "{{ x.y.z }}",
]


@pytest.mark.parametrize("source", HARM, ids=lambda source: source[:50])
def test_templates_that_mean_harm_are_refused(source):
    with pytest.raises((InputError, ModelFormatError), match=r"^(messages|text\.chat_template)"):
        template(source)(TALK)


def test_lists_that_hold_more_than_they_look_like_are_paid_for():
    source = "{% set ns=namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"
    with pytest.raises(InputError, match="characters of work"):
        template(source)(TALK)


def test_the_plain_rule():
    assert plain(TALK) == "Be brief.\n\nUser: Hello\n\nAssistant: Hi!\n\nUser:  Why? \n\nAssistant:"


def test_messages_are_checked_and_made_plain():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    given = [{"role": "developer", "content": "x", "name": "me"}, {"role": "user", "content": parts}]
    assert check_messages(given) == [{"role": "system", "content": "x"}, {"role": "user", "content": "ab"}]


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ("hello", "messages is"),
        ([], "messages is"),
        ([{"role": "user", "content": "x"}] * 2000, "messages has 2,000"),
        (["x"], r"messages\[0\] is 'x'"),
        ([{"content": "x"}], r"messages\[0\].role is None"),
        ([{"role": ["user"], "content": "x"}], r"messages\[0\].role is"),
        ([{"role": "tool", "content": "x"}], r"messages\[0\].role is 'tool'"),
        ([{"role": "user", "content": "x"}, {"role": "user"}], r"messages\[1\].content is None"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], r"messages\[0\].content\[0\] is"),
        ([{"role": "user", "content": 3}], r"messages\[0\].content is 3"),
        ([{"role": "user", "content": "x", "tool_calls": [1]}], r"messages\[0\].'tool_calls'"),
    ],
)
def test_messages_that_are_wrong_are_named(messages, named):
    with pytest.raises(InputError, match=named):
        check_messages(messages)


def model(template_source, **fields):
    record = tiny_byte_level(special=("<s>", "</s>"))
    return language(Text(record, 64, chat_template=template_source, **fields), 258, lambda ids, at: None)


def test_the_first_token_is_not_written_twice():
    talker = model("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", bos=256, add_bos=True, eos=(257,))
    prompt, stops = talker.conversation([{"role": "user", "content": "x"}])
    assert (prompt, stops) == ("x</s>", ())
    assert talker.prompt_ids(prompt) == [256, ord("x"), 257]


def test_a_model_without_a_template_follows_the_plain_rule():
    assert model("").conversation(TALK[1:2]) == ("User: Hello\n\nAssistant:", ("\n\nUser:",))


def test_a_damaged_template_is_the_files_fault():
    with pytest.raises(ModelFormatError, match="chat_template, line 2"):
        model("a\n{% if %}").conversation(TALK)
