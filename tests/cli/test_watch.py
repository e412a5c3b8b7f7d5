"""`edgert run` on pictures for a detector, and on sources: what is printed, saved and started."""

import json

import pytest
from PIL import Image

from edgert.cli.main import main
from edgert.cli.watch import Condition, VideoWriter
from edgert.errors import InputError
from edgert.sources.frame import Frame
from edgert.sources.synthetic import Synthetic
from edgert.stream import Seen, Timings, Watcher, draw


@pytest.fixture
def green(tmp_path):
    picture = Image.new("RGB", (240, 160))
    picture.paste((0, 255, 0), (80, 40, 120, 80))
    picture.save(tmp_path / "green.png")
    return str(tmp_path / "green.png")


def test_a_detector_prints_boxes_of_a_picture(model_files, green, capsys):
    assert main(["run", str(model_files / "cells.bin"), green]) == 0
    assert "green  (80, 40, 120, 80)" in capsys.readouterr().out
    assert main(["run", str(model_files / "cells.bin"), green, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["detections"]
    assert (found["label"], found["index"], found["box"]) == ("green", 1, [80, 40, 120, 80])
    assert main(["run", str(model_files / "cells.bin"), green, "--score", "1"]) == 0
    assert "green  (" not in capsys.readouterr().out


def test_what_was_seen_is_saved_as_a_picture(model_files, green, tmp_path):
    assert main(["run", str(model_files / "cells.bin"), green, "--save", str(tmp_path / "seen")]) == 0
    saved = Image.open(tmp_path / "seen" / "green.png")
    assert saved.size == (240, 160)
    assert saved.getpixel((100, 60)) == (0, 255, 0)
    assert saved.getpixel((79, 60)) != (0, 0, 0)  # the edge of the box


def test_a_source_prints_one_json_object_a_frame(model_files, capsys):
    source = "synthetic:240x160@1000000,frames=5"
    assert main(["run", str(model_files / "cells.bin"), "--source", source, "--json"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["frame"] for row in rows] == [0, 1, 2, 3, 4]
    assert set(rows[0]["ms"]) == {"capture", "preprocess", "inference", "postprocess", "draw", "total"}
    assert any(found["label"] == "red" for row in rows for found in row["detections"])
    assert "5 frames" in err
    assert "p95" in err


def test_frames_stop_after_as_many_as_asked(model_files, capsys):
    source = "synthetic:64x48@200"
    assert main(["run", str(model_files / "cells.bin"), "--source", source, "--frames", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def seconds_of(path):
    """When each frame of a video is shown."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


def write_video(path, pictures, fps):
    """pictures: (size, when it was taken in ms)."""
    pytest.importorskip("av", reason="PyAV is not installed")
    writer = VideoWriter(str(path), fps)
    for number, ((width, height), at_ms) in enumerate(pictures):
        frame = Frame(bytes(3 * width * height), "RGB", width, height, number, timestamp_ns=10**12 + at_ms * 10**6)
        writer(Seen(frame, [], "detect", None, dict.fromkeys(("draw", "total"), 0.0)))
    writer.close()


def test_a_video_of_a_camera_has_the_times_at_which_frames_were_taken(tmp_path):
    write_video(tmp_path / "out.mp4", [((64, 48), at) for at in (0, 100, 250, 250, 1000)], None)
    assert seconds_of(tmp_path / "out.mp4") == [0, 0.1, 0.25, 0.251, 1.0]


def test_a_video_of_a_video_keeps_its_rate(model_files, tmp_path):
    write_video(tmp_path / "clip.mp4", [((64, 48), 0)] * 13, 12)
    source = ["--source", str(tmp_path / "clip.mp4")]
    assert main(["run", str(model_files / "cells.bin"), *source, "--out", str(tmp_path / "out.mp4")]) == 0
    shown = seconds_of(tmp_path / "out.mp4")
    assert len(shown) == 13
    assert abs(shown[-1] - 1.0) < 0.002


def test_a_video_takes_odd_and_changing_sizes(tmp_path):
    write_video(tmp_path / "out.mp4", [((65, 49), 0), ((65, 49), 40), ((33, 97), 80)], None)
    assert len(seconds_of(tmp_path / "out.mp4")) == 3


def test_a_video_that_cannot_be_written_is_one_line(model_files, tmp_path, capsys):
    pytest.importorskip("av", reason="PyAV is not installed")
    source = "synthetic:64x48@1000000,frames=2"
    out = str(tmp_path / "no such folder" / "out.mp4")
    assert main(["run", str(model_files / "cells.bin"), "--source", source, "--out", out]) == 1
    assert "no such folder/out.mp4: cannot be written as a video" in capsys.readouterr().err


def test_a_folder_is_a_source_too(model_files, green, tmp_path, capsys):
    folder = str(tmp_path)
    assert main(["run", str(model_files / "cells.bin"), "--source", folder, "--save", str(tmp_path / "seen")]) == 0
    assert capsys.readouterr().out.startswith("green.png  ")
    assert (tmp_path / "seen" / "green.jpg").exists()


def test_frames_are_saved_where_a_condition_holds(model_files, tmp_path):
    command = ["run", str(model_files / "cells.bin"), "--source", "synthetic:240x160@1000000,frames=6", "--json"]
    assert main([*command, "--save", str(tmp_path / "none"), "--save-when", "blue>1"]) == 0
    assert not list((tmp_path / "none").iterdir())
    assert main([*command, "--save", str(tmp_path / "red"), "--save-when", "blue>1,red>0.5"]) == 0
    assert list((tmp_path / "red").iterdir())


def test_a_command_starts_when_a_label_appears(model_files, tmp_path):
    log = tmp_path / "log"
    script = tmp_path / "script.sh"
    script.write_text(f"#!/bin/sh\ncat >> {log}\n")
    script.chmod(0o755)
    command = ["run", str(model_files / "cells.bin"), "--source", "synthetic:240x160@1000000,frames=3", "--json"]
    assert main([*command, "--on-detect", str(script)]) == 0
    for _ in range(200):
        if log.exists() and log.read_text().endswith("\n"):
            break
        __import__("time").sleep(0.01)
    assert "detections" in json.loads(log.read_text().splitlines()[0])


def test_a_camera_that_fails_ends_with_code_4_when_asked(model_files, capsys):
    command = ["run", str(model_files / "cells.bin"), "--source", "synthetic:64x48@200,fault=unplug@2", "--json"]
    assert main([*command, "--stop-on-failure"]) == 4
    assert "unplugged" in capsys.readouterr().err


def test_a_size_change_and_black_frames_do_not_stop_it(model_files, capsys):
    for fault, at in (("resize", 2), ("black", 2), ("frozen", 2)):
        source = f"synthetic:64x48@1000000,fault={fault}@{at},frames=4"
        assert main(["run", str(model_files / "cells.bin"), "--source", source, "--json"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 12
    assert [json.loads(row)["width"] for row in rows[:4]] == [64, 64, 32, 32]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--source", "/no/such"], 1),
        (["--camera", "--source", "synthetic"], 1),
        (["--source", "synthetic", "picture.png"], 1),
        (["--source", "synthetic", "--save-when", "a>0.1"], 1),
        (["--source", "synthetic", "--save", "x", "--save-when", "a>b"], 1),
        (["--source", "synthetic", "--save", "x", "--save-when", "cat>0.1"], 1),
        (["--source", "synthetic", "--score", "2"], 2),
        (["--source", "synthetic", "--fps", "0"], 2),
        (["--source", "synthetic", "--fps", "nan"], 2),
        (["--source", "synthetic", "--size", "640"], 2),
        (["--source", "/dev/video99", "--stop-on-failure"], 4),
        (["--camera", "--stop-on-failure"], 4),
    ],
)
def test_wrong_usage_is_one_line_and_a_code(model_files, words, code, capsys):
    try:
        result = main(["run", str(model_files / "cells.bin"), *words])
    except SystemExit as stopped:
        result = stopped.code
    assert result == code
    assert "Traceback" not in capsys.readouterr().err


def test_conditions():
    seen = Seen(None, [type("Item", (), {"label": "person", "score": 0.7})], "detect", None, {})
    assert Condition("person>0.6")(seen)
    assert Condition("car > 0.1, person")(seen)
    assert not Condition("person>0.8")(seen)
    for text in ("", "person>x", ">0.5"):
        with pytest.raises(InputError):
            Condition(text)


def test_a_classifier_watches_frames_too(model_files):
    import edgert

    watcher = Watcher(edgert.load(model_files / "colours.bin", threads=1))
    [frame] = Synthetic(64, 48, 1e6, frames=1).frames()
    seen = watcher(frame)
    assert seen.kind == "classify"
    assert len(seen.as_dict()["classes"]) == 3
    picture = draw(seen, "30.0 fps")
    assert picture.size == (64, 48)
    assert seen.ms["draw"] > 0


def test_timings_have_median_and_95th_percentile():
    timings = Timings()
    assert (timings.summary(), timings.fps()) == ({}, 0.0)
    for n in range(100):
        timings.add(dict.fromkeys(("capture", "preprocess", "inference", "postprocess", "draw", "total"), float(n)))
    assert timings.summary()["total"] == (50.0, 95.0)


def test_a_detector_is_measured_on_a_folder_in_cocos_format(model_files, green, tmp_path, capsys):
    annotation = {"image_id": 1, "category_id": 7, "bbox": [80, 40, 40, 40], "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "green.png"}], "annotations": [annotation],
        "categories": [{"id": 7, "name": "green"}],
    }  # fmt: skip
    (tmp_path / "instances_val.json").write_text(json.dumps(content))
    assert main(["eval", str(model_files / "cells.bin"), str(tmp_path)]) == 0
    assert "mAP@0.5  100.00 %" in capsys.readouterr().out
    assert main(["eval", str(model_files / "cells.bin"), str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {"green": 1.0}
