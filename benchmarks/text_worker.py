"""One runtime with one language model in a process of its own: `text.py` starts these and lets them take turns.

    python text_worker.py RUNTIME FOLDER MODEL THREADS CORES

Answers one JSON line to each line "SEED PROMPT_TOKENS NEW_TOKENS" on stdin: nanoseconds from the prompt's ids to the
first token, and from there for the others, all greedy; and the tokens. It first prints {} or why it is left out.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter_ns

RUNTIMES = {
    "edgert int8": "int8.bin", "edgert int4": "int4.bin", "llama.cpp q8_0": "q8_0.gguf", "llama.cpp q4_0": "q4_0.gguf",
    "CTranslate2 int8": "ct2", "PyTorch float32": "",
}  # fmt: skip
CONTEXT = 256


def file_of(folder, model, runtime):
    """What a runtime loads."""
    kind = RUNTIMES[runtime]
    return Path(folder) / (f"{model}.{kind}" if kind else model)


def prompt(seed, count, vocabulary):
    """Token ids that differ from the first on, so that nothing of an earlier prompt can be used again."""
    return [(seed * 7 + 1) % vocabulary] + [(i * 31 + seed * 13 + 5) % vocabulary for i in range(1, count)]


def use_edgert(path, threads):
    import edgert

    model = edgert.load(path, threads=threads)

    def answer(ids, count):
        generation = model.generate(ids, max_tokens=count, temperature=0)
        return (piece.token for piece in generation)

    return answer, model.outputs[0].shape[-1]


def use_llama(path, threads):
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=CONTEXT, n_batch=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)

    def answer(ids, count):
        tokens = model.generate(ids, temp=0.0, repeat_penalty=1.0)
        return (next(tokens) for _ in range(count))

    return answer, model.n_vocab()


def use_ctranslate2(path, threads):
    import ctranslate2

    model = ctranslate2.Generator(str(path), device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1)
    vocabulary = json.loads((path / "vocabulary.json").read_text())

    def answer(ids, count):
        words = [vocabulary[i] for i in ids]
        options = {"sampling_topk": 1, "max_length": count, "min_length": count, "end_token": []}
        return (step.token_id for step in model.generate_tokens(words, **options))

    return answer, len(vocabulary)


def use_torch(path, threads):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    def answer(ids, count):
        given, past = torch.tensor([ids]), None
        with torch.inference_mode():
            for _ in range(count):
                found = model(input_ids=given, past_key_values=past, use_cache=True, logits_to_keep=1)
                past, given = found.past_key_values, found.logits[:, -1].argmax(-1, keepdim=True)
                yield int(given)

    return answer, model.config.vocab_size


def loader(runtime):
    name = runtime.split()[0]
    return {"edgert": use_edgert, "llama.cpp": use_llama, "CTranslate2": use_ctranslate2, "PyTorch": use_torch}[name]


def timed(answer, ids, count):
    started = perf_counter_ns()
    tokens = iter(answer(ids, count))
    found = [next(tokens)]
    first = perf_counter_ns()
    found += tokens
    return {"first_ns": first - started, "rest_ns": perf_counter_ns() - first, "tokens": found}


def main():
    runtime, folder, model, threads, cores = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    try:
        answer, vocabulary = loader(runtime)(file_of(folder, model, runtime), int(threads))
        ready = {}
    except Exception as error:  # a peer that is not installed or does not take the model is left out and named
        ready = {"left_out": f"{type(error).__name__}: {error}"[:200]}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        seed, given, count = map(int, line.split())
        print(json.dumps(timed(answer, prompt(seed, given, vocabulary), count)), flush=True)


if __name__ == "__main__":
    main()
