"""`edgert run` on a camera, a video or a folder of frames: the loop, what it writes, and the page it serves."""

import os
import sys

from edgert.cli import options
from edgert.cli.text import json_line, printable
from edgert.errors import InputError


def configure(parser):
    group = parser.add_argument_group("cameras and videos")
    group.add_argument("--camera", action="store_true", help="the Raspberry Pi's camera (the same as --source camera)")
    group.add_argument("--source", metavar="WHAT", help="camera:N, /dev/videoN, video, rtsp://..., folder or synthetic")
    group.add_argument("--size", type=options.size, metavar="WxH", help="frame size asked of a camera")
    group.add_argument("--lores", type=options.size, metavar="WxH", help="a Pi camera's second stream, for the model")
    group.add_argument("--fps", type=options.rate, metavar="N", help="the most frames a second (what the board holds)")
    group.add_argument("--frames", type=options.positive, metavar="N", help="stop after N frames")
    group.add_argument("--out", metavar="FILE", help="write a video (.mp4) with what was seen drawn in")
    group.add_argument("--save-when", metavar="COND", help='save frames (to --save) where, as in "person>0.6"')
    group.add_argument("--on-detect", metavar="CMD", help="run a command when a label appears; its JSON is on stdin")
    group.add_argument("--stop-on-failure", action="store_true", help="exit with code 4 when the camera fails")
    page = "show a live page (127.0.0.1:8080)"
    group.add_argument("--serve", nargs="?", const="127.0.0.1:8080", metavar="HOST:PORT", help=page)


def is_asked(args):
    return args.camera or args.source is not None or args.serve is not None


def run(args):
    from edgert.governor import Governor
    from edgert.sources import opener
    from edgert.sources.newest import Newest
    from edgert.stream import Timings, Watcher

    if args.camera and args.source:
        raise InputError("--camera and --source name two sources; give one")
    if args.image or args.inputs:
        raise InputError("pictures and a camera are both given; give one")
    what = args.source or "camera"
    open_source, live = opener(what, args.size, args.fps, args.lores)
    condition = Condition(args.save_when) if args.save_when else None
    if condition and not args.save:
        raise InputError("--save-when needs --save with the folder for the pictures")
    if args.threads is None:
        args.threads = _spare_one()
    watcher = Watcher(options.load(args), args.score, args.iou, args.top)
    if condition:
        condition.check(watcher.model.metadata.labels)
    timings, governor, camera = Timings(), Governor(args.fps), None
    source = None if live else open_source()
    sinks = _sinks(args, condition, getattr(source, "fps", None), lambda: _figures(timings, governor) if live else "")
    if live:
        camera = Newest(what, args.size, args.fps, args.lores, stop_on_failure=args.stop_on_failure)
        frames = _live_frames(camera, governor)
    else:
        frames = _frames(source, governor if args.fps else None)
    loop = Loop(watcher, frames, timings, sinks, args.frames)
    try:
        if args.serve is not None:
            _serve(loop, args.serve, what, camera, governor)
        else:
            loop()
    finally:
        loop.stopped = True
        if camera is not None:
            camera.close()
        for sink in sinks:
            getattr(sink, "close", lambda: None)()
    report(timings)
    return 0


def _serve(loop, where, what, camera, governor):
    from edgert.messages import say
    from edgert.serve.web import page

    board = page.new_board(loop.watcher, loop.timings, what, camera, governor)
    loop.sinks.append(board.put)
    page.serve(loop, board, where, say)


class Loop:
    """Frames through the model into the sinks, until the source ends, `limit` frames were seen or `stopped` is set."""

    def __init__(self, watcher, frames, timings, sinks, limit=None):
        self.watcher, self.frames, self.timings, self.sinks, self.limit = watcher, frames, timings, sinks, limit
        self.stopped = False

    def __call__(self):
        try:
            for count, frame in enumerate(self.frames, 1):
                seen = self.watcher(frame)
                for sink in self.sinks:
                    sink(seen)
                self.timings.add(seen.ms)
                if count == self.limit or self.stopped:
                    return
        finally:
            self.frames.close()


def _spare_one():
    """One core is left to the camera and the page, where there are several."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _frames(source, governor):
    frames = source.frames()
    try:
        while True:
            if governor is not None:
                governor.wait()  # before the frame is made, so that its age stays honest
            frame = next(frames, None)
            if frame is None:
                return
            yield frame
    finally:
        source.close()


def _live_frames(newest, governor):
    """The newest frame each time, until the source ends."""
    while not newest.ended:
        governor.wait()
        frame = newest.get(timeout=0.5)
        if frame is not None:
            yield frame


class Condition:
    """`person>0.6` or `car>0.5,bus>0.5`: whether one of these labels was seen with a higher score."""

    def __init__(self, text):
        self.least = {}
        for part in text.split(","):
            label, sign, score = part.rpartition(">")
            try:
                self.least[label.strip() if sign else part.strip()] = float(score) if sign else 0.0
            except ValueError:
                raise InputError(f"--save-when {text!r}: not like person>0.6") from None
        if "" in self.least:
            raise InputError(f"--save-when {text!r}: not like person>0.6")

    def check(self, labels):
        """Raises: InputError if a label is none of the model's, so that nothing would ever be saved for it."""
        for label in self.least:
            if labels and label not in labels:
                some = ", ".join(labels[:20]) + (" ..." if len(labels) > 20 else "")
                raise InputError(f"--save-when: the model knows no {label!r}; its labels: {some}")

    def __call__(self, seen):
        return any(item.score > self.least.get(item.label, float("inf")) for item in seen.items if seen.kind != "pose")


def _figures(timings, governor):
    """'30 frames a second, 54 °C', for a camera's pictures."""
    rate = timings.fps()
    parts = [f"{rate:.0f} frames a second"] if rate else []
    return ", ".join(parts + ([] if governor.temp_c is None else [f"{governor.temp_c:.0f} °C"]))


def _sinks(args, condition, fps, figures):
    """What is done with each Seen, in order. fps: of the source, None: a camera's. figures: gives a line to draw."""
    sinks = [lambda seen: args.answered(round(seen.ms["total"] * 1e6))]
    if args.save:
        sinks.append(Saver(args.save, condition, figures))
    if args.out:
        sinks.append(VideoWriter(args.out, fps, figures))
    if args.on_detect:
        sinks.append(Command(args.on_detect))
    if args.json:
        sinks.append(_print_json)
    elif args.serve is None:
        sinks.append(_print_text)
    return sinks


def _print_json(seen):
    print(json_line(seen.as_dict()), flush=True)


def _print_text(seen):
    found = seen.as_dict()
    items = found.get("detections", found.get("classes", ()))
    names = ", ".join(f"{item['label']} {item['score']:.2f}" for item in items) or "-"
    name = found.get("input", f"frame {found['frame']}")
    print(printable(f"{name}  {seen.ms['total']:.1f} ms  {names}"), flush=True)


class Saver:
    """Writes frames with what was seen in them, all or those that meet a condition."""

    def __init__(self, folder, condition, figures=str):
        self.folder, self.condition, self.figures = folder, condition, figures
        os.makedirs(folder, exist_ok=True)

    def __call__(self, seen):
        if self.condition is not None and not self.condition(seen):
            return
        from edgert.stream import draw

        name = os.path.splitext(os.path.basename(seen.frame.name))[0] or f"frame{seen.frame.number:07d}"
        seen.picture = seen.picture or draw(seen, self.figures())
        seen.picture.save(os.path.join(self.folder, f"{name}.jpg"), quality=90)


class VideoWriter:
    """H.264 in an .mp4, written by PyAV. fps: of the pictures; None: as far apart as they were taken."""

    def __init__(self, path, fps=None, figures=str):
        from edgert.optional import require

        self.av = require("av", "writing videos")
        self.fps, self.figures, self.stream, self.count = fps, figures, None, 0
        try:
            self.container = self.av.open(path, "w")
            open(path, "wb").close()  # PyAV opens it at the first frame only
        except (self.av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"--out {path}: cannot be written as a video: {error}") from None

    def __call__(self, seen):
        from edgert.stream import draw

        seen.picture = seen.picture or draw(seen, self.figures())
        if self.stream is None:
            self._begin(seen)
        frame = self.av.VideoFrame.from_image(seen.picture)
        since_ms = (seen.frame.timestamp_ns - self.first_ns) / 1e6
        self.at_ms = max(self.at_ms + 1, round(1000 * self.count / self.fps if self.fps else since_ms))
        frame.pts, frame.time_base = self.at_ms, self.stream.codec_context.time_base
        self.count += 1
        self._write(frame)

    def close(self):
        if self.stream is not None:
            self._write(None)
        self.container.close()

    def _begin(self, seen):
        from fractions import Fraction

        self.stream = self.container.add_stream("libx264", rate=round(self.fps or 30))
        # Even sides: H.264 halves the resolution of colour. Frames of another size are stretched to the first one's.
        self.stream.width, self.stream.height = (max(2, side // 2 * 2) for side in seen.picture.size)
        self.stream.pix_fmt = "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, 1000)
        self.first_ns, self.at_ms = seen.frame.timestamp_ns, -1

    def _write(self, frame):
        for packet in self.stream.encode(frame):
            self.container.mux(packet)


class Command:
    """Starts a command for each label that was not seen in the frame before; one at a time, the camera never waits."""

    def __init__(self, command):
        import shlex

        self.words = shlex.split(command)
        if not self.words:
            raise InputError("--on-detect: no command")
        self.before, self.running = set(), None

    def __call__(self, seen):
        labels = set() if seen.kind == "pose" else {item.label for item in seen.items}
        new, self.before = labels - self.before, labels
        if not new or (self.running is not None and self.running.poll() is None):
            return
        import json
        import subprocess

        try:
            self.running = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=sys.stderr)
            self.running.stdin.write((json.dumps(seen.as_dict()) + "\n").encode())
            self.running.stdin.close()
        except OSError as error:
            print(f"edgert: --on-detect {self.words[0]}: {error.strerror}", file=sys.stderr)


def report(timings):
    """Median and 95th percentile of each stage, on stderr: stdout is for answers."""
    if not timings.rows:
        return
    print(f"\n{timings.count:,} frames, {timings.fps():.1f} a second; camera to answer:", file=sys.stderr)
    for stage, (median, p95) in timings.summary().items():
        print(f"  {stage:12} {median:9.3f} ms   p95 {p95:9.3f} ms", file=sys.stderr)
