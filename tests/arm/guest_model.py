"""Runs on the emulated Pi: one model on given inputs; prints as JSON which tiers ran it and what came out.

python guest_model.py MODEL THREADS INPUT...      each INPUT a file with that tensor's bytes
"""

import hashlib
import json
import sys
from pathlib import Path

from edgert.session import Session


def main(model, threads, *inputs):
    session = Session(model, threads=int(threads))
    outputs = session.run_buffers([Path(name).read_bytes() for name in inputs])
    tiers = sorted({step[1] for step in session.plan.steps})
    digests = [hashlib.sha256(bytes(output)).hexdigest() for output in outputs]
    print(json.dumps({"tiers": tiers, "outputs": digests, "numpy": "numpy" in sys.modules}))


main(*sys.argv[1:])
