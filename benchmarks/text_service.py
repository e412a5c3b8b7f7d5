"""The text service under a crowd: 100 clients ask at once, while somebody looks at /health all the time.

    python benchmarks/text_service.py [MODEL] [--clients 100] [--tokens 64] [--rounds 5]

    ... DETECTOR MODEL --camera synthetic:320x240@30      both in one service: is the frame rate what it was?
    ... --idle 3000                                       besides, so many connections that say nothing


Starts `edgert serve`, and prints who was answered, who was told to come again, how long /health took in the crowd, and
the memory of the worker before, at most, and after. Clients and service share the machine's cores here.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODEL = Path(__file__).resolve().parents[1] / "models" / "shakespeare" / "shakespeare_int4.bin"
ALONE_S = 4.0  # how long the frame rate is measured before the crowd
PROMPTS = ("ROMEO:", "JULIET:", "KING RICHARD III:", "What news?", "To be, or not to be")


async def ask(port, path, body=None):
    """(status, seconds, content) of one request on a connection of its own."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b"" if body is None else json.dumps(body).encode()
    verb = "GET" if body is None else "POST"
    head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    received = await reader.read(-1)
    writer.close()
    head, _, content = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), time.perf_counter() - started, content


async def frames(port, since=None):
    """(frames answered, seconds) now; with `since`, such a pair: frames a second in between."""
    found = json.loads((await ask(port, "/health"))[2]).get("frames", {"answers": 0})["answers"], time.perf_counter()
    return found if since is None else (found[0] - since[0]) / (found[1] - since[1])


async def crowd(port, pid, clients, tokens, rounds, idle):
    """What a crowd of clients met in all rounds, the times of /health, the worker's memory in MiB before, at most and
    after, and the frame rates before and in the crowd."""
    statuses, answered = {}, []
    start = await frames(port)
    await asyncio.sleep(ALONE_S)
    rate_alone = await frames(port, start)

    async def one(number):
        body = {"prompt": PROMPTS[number % len(PROMPTS)], "max_tokens": tokens, "stream": number % 2 == 0}
        status, seconds, content = await ask(port, "/v1/completions", body)
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200:
            answered.append(seconds)
            assert b'"finish_reason"' in content

    before = rss_mib(pid)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(idle)]
    await asyncio.sleep(0.5 if idle else 0)
    start = await frames(port)
    # A process of its own: the one that is 100 clients at once is busier than the service.
    looking = subprocess.Popen([sys.executable, __file__, "--look", str(port), str(pid)], stdout=subprocess.PIPE)
    for _ in range(rounds):
        await asyncio.gather(*[one(number) for number in range(clients)])
    looking.terminate()
    looks, memory = json.loads(looking.communicate()[0])
    rates = rate_alone, await frames(port, start)
    for _, writer in silent:
        writer.close()
    return statuses, answered, looks, (before, max(memory), rss_mib(pid)), rates


def look(port, pid):
    """Ask how the service is until SIGTERM, and print how long each answer took and the worker's memory then."""
    looks, memory, over = [], [], []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))

    async def watch():
        while not over:
            status, seconds, _ = await ask(port, "/health")
            assert status == 200
            looks.append(seconds)
            memory.append(rss_mib(pid))
            await asyncio.sleep(0.002)

    asyncio.run(watch())
    print(json.dumps([looks, memory]))


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def worker_of(pid):
    """The process of the service that answers."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline", "rb") as line:
                if int(stat.read().rpartition(")")[2].split()[1]) == pid and b"edgert.serve.worker" in line.read():
                    return int(name)
        except OSError:
            continue
    raise SystemExit("the service has no worker")


def started(words):
    """(process, port) of a service that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "edgert", "serve", *words, "--port", str(port)])
    for _ in range(600):
        try:
            if asyncio.run(ask(port, "/health"))[0] == 200:
                return process, port
        except OSError:
            pass
        time.sleep(0.05)
    process.kill()
    raise SystemExit("the service did not answer within 30 s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="*", default=[str(MODEL)])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--camera", metavar="SOURCE")
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--look", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.look:
        look(*args.look)
        return
    process, port = started([*args.model, "--threads", "1", *(["--camera", args.camera] if args.camera else [])])
    try:
        found = asyncio.run(crowd(port, worker_of(process.pid), args.clients, args.tokens, args.rounds, args.idle))
    finally:
        process.terminate()
        process.wait(10)
    report(args, *found)


def report(args, statuses, answered, looks, memory, rates):
    looks = sorted(1000 * seconds for seconds in looks)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    print(f"{args.rounds} rounds of {args.clients} clients, {args.tokens} tokens each: {told}")
    print(f"answers: median {statistics.median(answered):.2f} s, longest {max(answered):.2f} s")
    at = {share: looks[min(len(looks) - 1, int(share * len(looks)))] for share in (0.5, 0.99)}
    print(f"/health: {len(looks)} times, median {at[0.5]:.1f} ms, p99 {at[0.99]:.1f} ms, longest {looks[-1]:.1f} ms")
    print("memory of the worker: {:.1f} MiB before, at most {:.1f}, {:.1f} after".format(*memory))
    if args.camera:
        print("frames a second: {:.2f} before, {:.2f} in the crowd".format(*rates))


if __name__ == "__main__":
    main()
