"""edgert tune: what wins, what is dropped, and every way a kept choice can fail to fit. Time is made up."""

import json
import os
import stat

import pytest
import tiny

import edgert
from edgert import tune, tuned
from edgert.errors import InputError
from edgert.format import reader, writer
from edgert.kernels import tiers
from edgert.session import Session


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder that choices are kept in; no tier is forced."""
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGERT_TIER", raising=False)
    return tmp_path / "cache" / "tune"


@pytest.fixture
def model(tmp_path):
    writer.write(tiny.residual_block(), tmp_path / "residual.bin")
    return tmp_path / "residual.bin"


@pytest.fixture
def two_variants(monkeypatch):
    """Every native kernel gets a twin called 'twin', and one called 'wrong' that clamps and so differs."""
    if tiers.available() == ["reference"]:
        pytest.skip("no compiled kernels in this installation")
    bind, best = tiers.bind, tiers.available()[0]

    def bind_any(tier, op, inputs, outputs, attrs, variant=""):
        assert variant in ("", "twin", "wrong")
        if variant == "wrong":
            if op != "conv2d":
                return None
            attrs = attrs | {"clamp_min": 0, "clamp_max": 0}
        return bind(tier, op, inputs, outputs, attrs)

    monkeypatch.setattr(tiers, "bind", bind_any)
    monkeypatch.setattr(tiers, "variants", lambda tier, op: ("", "twin", "wrong"))
    monkeypatch.setattr(tiers, "available", lambda: [best, "reference"])
    return best


class FakeClock:
    """Plans in the order they are made: the default takes 1000 ns a step, the next what `challenger` says."""

    def __init__(self, challenger, whole=((1000, 900),)):
        self.challenger, self.rounds = challenger, 0
        self.whole_times, self.wholes = whole, 0

    def steps(self, plans):
        times = [[1000] * len(plans[0].steps)]
        for _ in plans[1:]:
            times.append([self.challenger(self.rounds, index) for index, *_ in plans[0].steps])
        self.rounds += 1
        return times

    def whole(self, plans):
        self.wholes += 1
        return list(self.whole_times[self.wholes % len(self.whole_times)])


@pytest.mark.parametrize(
    ("rounds", "winner"),
    [
        ([[1000, 900]] * 5, 1),
        ([[1000, 975]] * 5, 0),  # 2.5 % is noise
        ([[1000, 900]] * 4 + [[1000, 2000]], 1),
        ([[1000, 900]] * 3 + [[1000, 999]] * 2, 0),
        ([[100, 85]] * 5, 0),  # 15 ns is what the clock costs
        ([[1000, 900, 880]] * 5, 1),  # the second does not beat the first clearly
        ([[1000, 900, 700]] * 5, 2),
        ([[1000, 1100, 900]] * 5, 2),
        ([[1000]] * 5, 0),
    ],
)
def test_a_challenger_must_win_clearly_and_repeatedly(rounds, winner):
    assert tune.pick(rounds) == winner


def test_winners_are_kept_and_loaded(cache, model, two_variants):
    result = tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: 500 if node in (0, 2) else 990))
    assert result.choices == {0: (two_variants, "twin"), 2: (two_variants, "twin")}
    assert [(row.default_ns, row.winner_ns) for row in result.rows] == [(1000, 500), (1000, 1000)] * 2
    assert (result.untuned_ns, result.tuned_ns) == (1000, 900)
    assert os.path.dirname(result.path) == str(cache)
    assert edgert.load(model, threads=1).session.choices == result.choices
    assert edgert.load(model.read_bytes(), threads=1).session.choices == result.choices
    assert edgert.load(model, threads=2).session.choices is None
    assert edgert.load(model, threads=1, tier="reference").session.choices is None


def test_the_same_times_give_the_same_choices(cache, model, two_variants):
    noisy = [
        tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: (700, 800, 2000, 750, 720)[turn])).choices
        for _ in range(2)
    ]
    assert noisy[0] == noisy[1] == dict.fromkeys(range(4), (two_variants, "twin"))


@pytest.mark.parametrize("whole", [((1000, 1001),), ((1000, 1000),), ((1000, 998),), ((1000, 900), (1000, 1100))])
def test_a_whole_that_is_not_faster_stays_untuned(cache, model, two_variants, whole):
    tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: 500))
    assert len(list(cache.iterdir())) == 1
    result = tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: 500, whole))
    assert result.path is None
    assert len(result.choices) == 4
    assert list(cache.iterdir()) == []
    assert edgert.load(model, threads=1).session.choices is None


def test_nothing_is_kept_where_nothing_wins(cache, model, two_variants):
    result = tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: 1000))
    assert (result.choices, result.path, cache.exists()) == ({}, None, False)


def test_a_kernel_that_differs_is_dropped_and_named(cache, model, two_variants, capsys):
    result = tune.tune(model, threads=1, clock=FakeClock(lambda turn, node: 500))
    assert "wrong" not in str(result.choices)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # two convolutions
    assert f"node 0 'stem' (conv2d): {two_variants} wrong differs from {two_variants}" in lines[0]


def test_tuned_answers_are_the_untuned_ones_bit_for_bit(cache, model):
    x = os.urandom(288)
    before = bytes(edgert.load(model, threads=2).run_buffers([x])[0])
    tune.tune(model, threads=2)  # on this machine's own clock and kernels
    assert bytes(edgert.load(model, threads=2).run_buffers([x])[0]) == before


def test_every_kernel_of_this_machine_is_compared_and_none_differs(cache, tmp_path, capsys):
    for graph in (tiny.colour_classifier(), tiny.two_heads()):
        writer.write(graph, tmp_path / "model.bin")
        result = tune.tune(tmp_path / "model.bin", threads=1, clock=FakeClock(lambda turn, node: 1000))
        assert [row.op for row in result.rows] == [node.op for node in graph.nodes]
    assert capsys.readouterr().err == ""


def test_a_forced_tier_leaves_nothing_to_choose(cache, model, monkeypatch):
    monkeypatch.setenv("EDGERT_TIER", "scalar")
    with pytest.raises(InputError, match="EDGERT_TIER forces tier 'scalar'"):
        tune.tune(model)


def test_clear_forgets_one_number_of_threads_or_all(cache, model, two_variants):
    clock = FakeClock(lambda turn, node: 500)
    for count in (1, 2, 3):
        tune.tune(model, threads=count, clock=FakeClock(clock.challenger))
    loaded = reader.read(model)
    assert tuned.clear(loaded, 2) == 1
    assert tuned.clear(loaded, 2) == 0
    assert sorted(path.name[-7:] for path in cache.iterdir()) == ["-1.json", "-3.json"]
    assert tuned.clear(loaded) == 2
    assert tuned.clear(loaded) == 0


def changed(**fields):
    return lambda record: json.dumps(record | fields)


def choice(*items):
    return lambda record: json.dumps(record | {"choices": [list(items)]})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda record: "", "not JSON"),
        (lambda record: json.dumps(record)[:-9], "not JSON"),
        (lambda record: "[" * 100_000, "not JSON"),
        (lambda record: "\0" * 100, "not JSON"),
        (lambda record: "9" * 5000, "not JSON"),
        (lambda record: "[]", "damaged"),
        (lambda record: "{}", "damaged"),
        (lambda record: "null", "damaged"),
        (changed(extra=1), "damaged"),
        (changed(threads=True), "damaged"),
        (changed(choices={}), "damaged"),
        (changed(tuned_ns=1.5), "damaged"),
        (changed(format=2), "another format, 2 instead of 1"),
        (changed(edgert="9.9.9"), "another version of edgert, '9.9.9'"),
        (changed(cpu="Z80"), "another CPU, 'Z80'"),
        (changed(flags=["mmx"]), "another set of CPU features"),
        (changed(model="00"), "another model"),
        (changed(threads=64), "another number of threads, 64 instead of 1"),
        (choice(0, "conv2d", "abacus", ""), "there is no tier 'abacus'"),
        (choice(0, "conv2d", "", ""), "no node 0"),
        (choice(0, "linear", "scalar", ""), "no node 0 'linear'"),
        (choice(99, "conv2d", "scalar", ""), "no node 99"),
        (choice(-1, "conv2d", "scalar", ""), "no node -1"),
        (choice(0, "conv2d", "reference", "sideways"), "no variant 'sideways'"),
        (choice(0, "conv2d", "scalar"), "a choice in it is damaged"),
        (choice("0", "conv2d", "scalar", ""), "a choice in it is damaged"),
        (choice(None, "conv2d", ["scalar"], ""), "a choice in it is damaged"),
        (changed(choices=[7]), "a choice in it is damaged"),
    ],
)
def test_choices_that_do_not_fit_are_ignored_with_one_line(cache, model, damage, words, capsys):
    path = kept(model)
    record = json.loads(path.read_text())
    path.write_text(damage(record))
    session = Session(model, threads=1)
    assert session.choices is None
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert str(path) in err
    session.run_buffers([bytes(288)])


def kept(model):
    """A file of choices that fits, made without measuring."""
    loaded = reader.read(model)
    from pathlib import Path

    return Path(tuned.write(loaded, 1, {0: ("reference", "")}, 2000, 1000))


def test_a_file_that_fits_is_used_and_says_nothing(cache, model, capsys):
    kept(model)
    session = Session(model, threads=1)
    assert session.choices == {0: ("reference", "")}
    assert session.plan.steps[0][1] == "reference"
    assert capsys.readouterr().err == ""


def test_a_forced_tier_looks_at_no_choices(cache, model, monkeypatch, capsys):
    kept(model).write_text("nonsense")
    monkeypatch.setenv("EDGERT_TIER", "reference")
    assert Session(model, threads=1).choices is None
    assert capsys.readouterr().err == ""


def test_what_stands_in_place_of_the_file_is_ignored_with_one_line(cache, model, capsys):
    path = kept(model)
    path.unlink()
    os.mkfifo(path)
    assert Session(model, threads=1).choices is None
    path.unlink()
    path.mkdir()
    assert Session(model, threads=1).choices is None
    assert capsys.readouterr().err.count("not a regular file") == 2


def test_a_file_is_never_half_written(cache, model, monkeypatch):
    before = kept(model).read_text()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        kept(model)
    assert [path.read_text() for path in cache.iterdir()] == [before]
    assert stat.S_ISREG(next(cache.iterdir()).stat().st_mode)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nvendor_id\t: Acme\nmodel name\t: Fast 9\nmodel\t: 3\n\nprocessor\t: 1\n", "Acme Fast 9 3"),
        ("processor : 0\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd08\n\n", "0x41 0xd08"),
        ("", ""),
    ],
)
def test_the_cpu_is_named_by_what_it_is_not_by_how_it_feels(tmp_path, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    assert tuned.cpu_name(tmp_path / "cpuinfo") == name
    assert tuned.cpu_name(tmp_path / "absent") == ""
