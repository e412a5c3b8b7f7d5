"""Who is in charge after crashes and reloads, played with workers that are only words."""

from itertools import pairwise

import pytest
from play import Play

from edgert.serve import succession
from edgert.serve.generation import Generation
from edgert.serve.store import Store
from edgert.serve.succession import NothingServes


def test_the_first_worker_is_in_charge_as_soon_as_it_is_ready(play):
    play.succession.first(play.settings("first"))
    assert play.workers[0].on_trial
    play.pass_time(1)
    assert play.succession.worker is None
    play.workers[0].serves()
    play.pass_time(1)
    assert play.serving == "first"


def test_a_first_worker_that_cannot_serve_ends_all_with_its_reason(play):
    play.succession.first(play.settings("first"))
    play.workers[0].dies(3, (3, "damaged"))
    with pytest.raises(NothingServes, match="damaged") as caught:
        play.pass_time(1)
    assert caught.value.exit_code == 3


def test_a_worker_that_dies_after_results_starts_again_at_once_and_unproved_by_trial(play):
    play.begin()
    play.workers[0].dies()
    play.pass_time(0.1, 0.1)
    assert len(play.workers) == 2
    assert not play.workers[1].on_trial
    assert play.notes.restarts == 1


def test_one_that_dies_without_results_starts_after_growing_pauses(play):
    play.begin()
    starts = []
    for _ in range(400):
        if play.succession.worker is not None and play.succession.worker.code is None:
            starts.append(play.now)
            play.succession.worker.dies()
        play.pass_time(0.25)
    pauses = [round(b - a, 1) for a, b in pairwise(starts)]
    assert pauses[:2] == [0.5, 0.8]  # at once after the one that had results, and a tick each
    assert pauses[2:] == sorted(pauses[2:])
    assert 28 < pauses[-1] < 32


def test_a_worker_that_ends_right_after_a_result_gave_none(play):
    play.begin()
    play.workers[0].results += 1
    play.workers[0].dies()
    play.now += 0.1
    assert play.succession.tick(play.now, 0.1) is False
    assert play.succession.worker is None


def test_a_worker_that_hangs_is_killed_and_replaced(play):
    play.begin()
    play.workers[0].hangs = True
    play.pass_time(0.1, 0.1, 0.1)
    assert play.workers[0].code == -9
    assert len(play.workers) == 2


def test_the_old_worker_serves_until_the_new_one_is_ready_and_then_finishes(play):
    play.begin()
    new = play.propose("second")
    play.pass_time(5)
    assert play.serving == "first"
    assert not play.workers[0].stopping
    new.serves()
    play.pass_time(0.1)
    assert play.workers[0].stopping
    assert play.serving == "first"
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    assert play.serving == "second"
    assert play.notes.text == ""
    assert play.notes.restarts == 0


def test_an_old_worker_that_does_not_finish_is_killed(play):
    play.begin()
    play.propose("second").serves()
    play.pass_time(0.1, succession.DRAIN_S + 1, 0.1, 0.1)
    assert play.workers[0].code == -9
    assert play.serving == "second"


@pytest.mark.parametrize("how", ["says why", "crashes"])
def test_a_new_worker_that_fails_is_refused_and_remembered(play, how):
    play.begin()
    new = play.propose("bad")
    new.dies(3, (3, "golden answer 0 is wrong")) if how == "says why" else new.dies(-11)
    play.pass_time(0.1)
    assert play.serving == "first"
    assert not play.workers[0].stopping
    assert "bad.bin was refused" in play.notes.text
    play.propose("bad")
    assert len(play.workers) == 2  # it is not even started
    assert "failed before" in play.notes.text
    assert (play.folder / "state" / "bad.txt").read_text().count("\n") == 1
    play.propose("third").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    assert (play.serving, play.notes.text) == ("third", "")


@pytest.mark.parametrize("how", ["says so", "takes too long"])
def test_a_new_worker_that_is_slow_is_refused_and_may_try_again(play, how):
    play.begin()
    new = play.propose("slow")
    if how == "says so":
        new.dies(1, (1, "too slow: an answer takes 656 ms; promised: 2 frames a second"))
    play.pass_time(succession.TRIAL_S + 1, 0.1)
    assert new.code == (1 if how == "says so" else -9)
    assert play.serving == "first"
    assert "slow.bin was refused, the last good one serves: too slow" in play.notes.text
    assert not (play.folder / "state" / "bad.txt").exists()
    play.propose("slow").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    assert play.serving == "slow"


@pytest.mark.parametrize("was", ["good", "never good"])
def test_what_failed_before_is_tried_at_a_start_where_nothing_else_could_serve(play, tmp_path, was):
    if was == "good":
        play.begin()
    play.store.remember_bad(Generation(play.settings("first")), "it crashed")
    second = Play(tmp_path, tmp_path / "state")
    assert second.store.why_bad(Generation(second.settings("first"))) == "it crashed"
    second.succession.first(second.settings("first"))
    second.workers[0].serves()
    second.pass_time(0.1)
    assert second.serving == "first"


def test_what_failed_before_is_known_to_the_next_service_too(play, tmp_path):
    play.begin()
    play.propose("bad").dies(-11)
    play.pass_time(0.1)
    second = Play(tmp_path, tmp_path / "state")
    second.succession.first(second.settings("bad"))  # the last good one of the run before begins instead
    second.pass_time(0.1)
    assert second.serving == "first"
    assert "bad.bin was refused" in second.notes.text


def test_a_new_worker_that_was_killed_from_outside_is_refused_but_not_remembered(play):
    play.begin()
    play.propose("second").dies(-9).is_unfit = False
    play.pass_time(0.1)
    assert play.serving == "first"
    play.propose("second")
    assert len(play.workers) == 3


def test_a_new_worker_that_dies_on_probation_is_taken_back(play):
    play.begin()
    new = play.propose("second").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 1)
    assert play.serving == "second"
    new.dies(-11)
    play.pass_time(0.1, 0.1)
    assert play.serving == "first"
    assert "second.bin was refused" in play.notes.text
    play.propose("second")
    assert "failed before" in play.notes.text


def test_the_worker_in_charge_may_die_while_another_loads(play):
    play.begin()
    new = play.propose("second")
    play.workers[0].dies()
    play.pass_time(0.1, 0.1)
    assert play.serving == "first"
    new.serves()
    play.pass_time(0.1)
    play.succession.worker.dies(0)
    play.pass_time(0.1, 0.1)
    assert play.serving == "second"


def test_a_model_that_is_missing_at_the_start_leaves_the_last_good_one(play, tmp_path):
    play.begin()
    second = Play(tmp_path, tmp_path / "state")
    second.succession.first({"model": [str(tmp_path / "none.bin")]})
    second.pass_time(0.1)
    assert second.serving == "first"
    third = Play(tmp_path, tmp_path / "other")
    with pytest.raises(NothingServes, match="No such file"):
        third.succession.first({"model": [str(tmp_path / "none.bin")]})


def test_a_copy_is_what_the_file_was(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abc" * 1000)
    generation = Generation({"model": [str(path)]})
    path.write_bytes(b"")
    assert b"".join(generation.copies[0].pieces()) == b"abc" * 1000
    assert Generation({"model": [str(path)]}).digest != generation.digest


def test_a_full_disk_does_not_stop_anything(tmp_path, capsys):
    play = Play(tmp_path, "/dev/full/none")
    assert play.store.folder is None
    assert "/dev/full/none" in capsys.readouterr().err
    play.begin()
    assert play.notes.store.startswith("/dev/full/none: ")
    assert play.serving == "first"
    readonly = Store(tmp_path)
    readonly.folder = "/proc/1"
    readonly.remember_bad(play.succession.generation, "why")
    assert "serving goes on" in capsys.readouterr().err


def test_one_that_answered_is_good_enough_to_come_back_to(play):
    play.succession.first(play.settings("first"))
    play.workers[0].serves()
    play.pass_time(0.1, 0.1)
    new = play.propose("second").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    new.dies(-11)
    play.pass_time(0.1, 0.1)
    assert play.serving == "first"


def test_a_machine_without_room_for_a_process_gets_another_try(play, monkeypatch):
    play.begin()
    real = play.succession._start

    def full(generation, on_trial):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(play.succession, "_start", full)
    play.propose("second")
    assert "no worker can be started" in play.notes.text
    play.workers[0].dies()
    play.pass_time(0.1, 0.1, 0.1)
    assert play.succession.worker is None
    monkeypatch.setattr(play.succession, "_start", real)
    play.pass_time(1)
    assert play.serving == "first"
