"""Importers of language models against the libraries that own the formats: logits in float mode, token by token."""

import json

import numpy as np
import pytest

from edgert import convert
from edgert.errors import ConversionError, EdgertError, InputError
from edgert.format import writer
from edgert.session import Session

TOLERANCE = 1e-4  # both sides sum in float32, in different orders
SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 12,
}  # fmt: skip
FAMILIES = {
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}),
    "gpt2_gelu_untied": ("GPT2", {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 24, "n_inner": 48,
                                  "activation_function": "gelu", "tie_word_embeddings": False}),
    "llama": ("Llama", {"intermediate_size": 48, "num_key_value_heads": 2, "rope_theta": 1000.0}),
    "smollm": ("Llama", {"intermediate_size": 48, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "llama3": ("Llama", {"intermediate_size": 48, "head_dim": 16, "rope_parameters": LLAMA3, "attention_bias": True,
                         "mlp_bias": True}),
    "linear_rope": ("Llama", {"intermediate_size": 48, "rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                                                             "rope_theta": 100.0}}),
    "mistral": ("Mistral", {"intermediate_size": 48, "num_key_value_heads": 2, "sliding_window": 5}),
    "qwen2": ("Qwen2", {"intermediate_size": 48, "num_key_value_heads": 2}),
    "qwen2_window": ("Qwen2", {"intermediate_size": 48, "num_key_value_heads": 4, "use_sliding_window": True,
                               "sliding_window": 4, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 12}),
}  # fmt: skip
TOKENS = np.random.default_rng(0).integers(0, 61, 20).astype(np.int32)


@pytest.fixture(scope="module")
def libraries():
    return pytest.importorskip("torch"), pytest.importorskip("transformers")


def made(libraries, family):
    """A model of a family with random weights, large enough that every part of it matters."""
    torch, transformers = libraries
    name, fields = FAMILIES[family]
    sizes = {"vocab_size": 61} if name == "GPT2" else SIZES
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes | {"bos_token_id": 1, "eos_token_id": 2} | fields)
    head = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
    model = getattr(transformers, head)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3)
    return model


def expected(libraries, model):
    torch, _ = libraries
    with torch.no_grad():
        return model(torch.from_numpy(TOKENS[None].astype(np.int64))).logits[0].numpy()


def logits(graph, chunks=(20,)):
    """One row per token, computed in runs of `chunks` tokens."""
    session = Session(writer.to_bytes(graph), threads=1, all_rows=True)
    rows, at = [], 0
    for count in chunks:
        rows.append(session.run([TOKENS[at : at + count], np.array([at], np.int32)])[0])
        at += count
    return np.concatenate(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_float_logits_are_those_of_transformers(libraries, family, tmp_path):
    model = made(libraries, family)
    model.save_pretrained(tmp_path)
    graph, draft = convert.load(tmp_path, weights="float", kv="float")
    assert draft.notes[0] == "no tokenizer.json or tokenizer.model: token ids in, token ids out"
    wanted = expected(libraries, model)
    for chunks in [(20,), (7, 1, 12)]:
        got = logits(graph, chunks)
        assert np.abs(got - wanted).max() <= TOLERANCE, np.abs(got - wanted).max()
    assert (graph.metadata.text.bos, graph.metadata.text.eos) == (1, (2,))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_weights_are_read_exactly_and_from_several_files(libraries, dtype, tmp_path):
    torch, _ = libraries
    model = made(libraries, "llama")
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype)).float()
    wanted = expected(libraries, model)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    graph, _ = convert.load(tmp_path, weights="float", kv="float")
    assert np.abs(logits(graph) - wanted).max() <= TOLERANCE


def test_int8_is_near_float_and_int4_farther(libraries, tmp_path):
    made(libraries, "smollm").save_pretrained(tmp_path)
    graphs = {kind: convert.load(tmp_path, weights=kind, kv="int8")[0] for kind in ("float", "int8", "int4")}
    rows = {kind: logits(graph) for kind, graph in graphs.items()}
    spread = rows["float"].std()
    errors = {kind: np.sqrt(np.square(rows[kind] - rows["float"]).mean()) / spread for kind in ("int8", "int4")}
    assert errors["int8"] < 0.05 < errors["int4"] < 0.5
    sizes = {kind: len(writer.to_bytes(graph)) for kind, graph in graphs.items()}
    assert sizes["int4"] < sizes["int8"] < sizes["float"] / 2


def test_a_nanogpt_checkpoint_is_the_gpt2_it_is_made_like(libraries, tmp_path):
    torch, _ = libraries
    model = made(libraries, "gpt2_gelu_untied")
    state = {}
    for name, tensor in model.state_dict().items():
        turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        state[f"_orig_mod.{name}"] = tensor.T.contiguous() if turned else tensor
    state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]
    model.lm_head.weight = model.transformer.wte.weight
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 24, "bias": True, "vocab_size": 61, "dropout": 0.0}
    with pytest.raises(ConversionError, match=r"h\.0\.mlp\.c_fc\.weight' is 48 x 32"):
        save_nanogpt(torch, state, sizes, tmp_path)
    grown = {n: t for n, t in state.items() if ".mlp." not in n}
    with pytest.raises(ConversionError, match=r"'0\.down' is missing|'0\.up' is missing"):
        save_nanogpt(torch, grown, sizes, tmp_path)
    mlp = {"c_fc.weight": (128, 32), "c_fc.bias": (128,), "c_proj.weight": (32, 128), "c_proj.bias": (32,)}
    for name, shape in mlp.items():
        state[f"_orig_mod.transformer.h.0.mlp.{name}"] = torch.zeros(shape)
    for name in ("c_fc", "c_proj"):
        part = getattr(model.transformer.h[0].mlp, name)
        part.weight.data.zero_()
        part.bias.data.zero_()
    graph = save_nanogpt(torch, state, sizes, tmp_path)
    assert np.abs(logits(graph) - expected(libraries, model)).max() <= TOLERANCE


def save_nanogpt(torch, state, sizes, folder):
    torch.save(
        {"model": state, "model_args": sizes, "iter_num": 3, "best_val_loss": torch.tensor(1.5)}, folder / "ckpt.pt"
    )
    return convert.load(folder / "ckpt.pt", weights="float", kv="float")[0]


def test_a_checkpoint_that_would_run_code_is_not_unpickled(libraries, tmp_path):
    torch, _ = libraries

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").write_text, ("x",))

    torch.save({"model": Trap(), "model_args": {}}, tmp_path / "ckpt.pt")
    with pytest.raises(ConversionError, match="no checkpoint"):
        convert.load(tmp_path / "ckpt.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q6_K"])
def test_gguf_weights_are_what_the_gguf_package_dequantises(kind, tmp_path):
    gguf = pytest.importorskip("gguf")
    width, kept = (256, {}) if kind == "Q6_K" else (64, {})
    path = tmp_path / "model.gguf"
    write_gguf(gguf, path, kind, width, kept)
    graph, draft = convert.load(path, weights="float", kv="float")
    assert draft.notes == ["no golden vectors: float sums may differ in their last bits from processor to processor"]
    stored = {tensor.name: tensor for tensor in graph.tensors if tensor.is_constant}
    assert {name.partition(".")[2] for name in kept} == {f"{part}.weight" for part in GGUF_PARTS}
    for name, values in kept.items():
        layer, part = name.split(".")[:2]
        ours = stored[f"{layer}.{GGUF_PARTS[part]}.weight"]
        np.testing.assert_array_equal(np.frombuffer(ours.data, np.float32).reshape(ours.shape), values, err_msg=name)
    assert {node.attrs["interleaved"] for node in graph.nodes if node.op == "rope"} == {1}
    text = graph.metadata.text
    assert (text.bos, text.eos, text.add_bos, text.context) == (1, (2,), True, 32)
    import edgert

    assert isinstance(edgert.load(writer.to_bytes(graph)).generate("ab a", max_tokens=3, temperature=0).text(), str)


GGUF_PARTS = {
    "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "out", "ffn_up": "up", "ffn_gate": "gate",
    "ffn_down": "down",
}  # fmt: skip


def write_gguf(gguf, path, kind, width, kept):
    """A Llama of one layer; `kept`: what the package makes of each weight."""
    rng, out = np.random.default_rng(0), gguf.GGUFWriter(path, "llama")
    pieces = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], "▁", "a", "b", "▁a", "ab"]
    out.add_block_count(1), out.add_context_length(32), out.add_embedding_length(width), out.add_head_count(4)
    out.add_feed_forward_length(2 * width), out.add_head_count_kv(2), out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model("llama"), out.add_token_list(pieces), out.add_bos_token_id(1), out.add_eos_token_id(2)
    out.add_token_scores([0.0] * 259 + [-5.0, -5.0, -5.0, -1.0, -2.0])
    out.add_token_types([2, 3, 3] + [6] * 256 + [1] * 5)
    ends = {
        "token_embd": (264, width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
    }
    for name, shape in ends.items():
        out.add_tensor(f"{name}.weight", rng.normal(1, 0.1, shape).astype(np.float32))
    shapes = {"attn_q": (width, width), "attn_k": (width // 2, width), "attn_v": (width // 2, width)}
    shapes |= {"attn_output": (width, width), "ffn_up": (2 * width, width), "ffn_gate": (2 * width, width)}
    qtype = getattr(gguf.GGMLQuantizationType, kind)
    for name, shape in (shapes | {"ffn_down": (width, 2 * width)}).items():
        values = rng.normal(0, 0.1, shape).astype(np.float32)
        if kind == "Q6_K":  # the package reads K-quants but does not write them
            data = rng.integers(0, 127, (shape[0], shape[1] // 256 * 210)).astype(np.uint8)
            data.reshape(shape[0], -1, 210)[..., 208:] = np.float16(0.01).reshape(1).view(np.uint8)
        else:
            data = gguf.quants.quantize(values, qtype)
        kept[f"0.{name}.weight"] = gguf.quants.dequantize(data, qtype).reshape(shape)
        out.add_tensor(f"blk.0.{name}.weight", data, raw_dtype=qtype)
    out.write_header_to_file(), out.write_kv_data_to_file(), out.write_tensors_to_file(), out.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Hugging Face folder of one layer, written without any library."""
    place = tmp_path_factory.mktemp("hf")
    rng, width = np.random.default_rng(0), 8
    shapes = {"model.embed_tokens": (10, width), "model.norm": (width,)}
    shapes |= {f"model.layers.0.{part}": (width,) for part in ("input_layernorm", "post_attention_layernorm")}
    shapes |= {f"model.layers.0.self_attn.{one}_proj": (width, width) for one in "qkvo"}
    shapes |= {f"model.layers.0.mlp.{one}_proj": (16, width) for one in ("up", "gate")}
    shapes["model.layers.0.mlp.down_proj"] = (width, 16)
    write_safetensors(place / "model.safetensors", {f"{n}.weight": rng.normal(0, 1, s) for n, s in shapes.items()})
    place.joinpath("config.json").write_text(json.dumps(CONFIG))
    return place


CONFIG = {
    "model_type": "llama", "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip


def write_safetensors(path, tensors, **header):
    entries, data = {}, b""
    for name, values in tensors.items():
        words = values.astype(np.float32).tobytes()
        entries[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + len(words)]}
        data += words
    text = json.dumps(entries | header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def changed(folder, tmp_path, **config):
    """A copy of the folder with other settings; None removes one."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = {key: value for key, value in (CONFIG | config).items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return tmp_path


def test_the_small_folder_is_a_model(folder):
    graph, _ = convert.load(folder)
    assert graph.metadata.task == "generate"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba'"), ({"model_type": None}, "'model_type' is missing"),
        ({"hidden_size": None}, "'hidden_size' is missing"), ({"hidden_size": "8"}, "'hidden_size' is '8'"),
        ({"hidden_size": -8}, "'hidden_size' is -8"), ({"hidden_size": 2**40}, "'hidden_size'"),
        ({"num_hidden_layers": 2**31 - 1}, "layers"), ({"num_attention_heads": 3}, "no multiple"),
        ({"num_key_value_heads": 4}, "no multiple"), ({"vocab_size": 11}, "embed_tokens.weight' is 10 x 8"),
        ({"hidden_act": "tanh"}, "hidden_act 'tanh'"), ({"rope_scaling": {"type": "yarn"}}, "'yarn'"),
        ({"rope_scaling": [1]}, "rope_scaling"), ({"head_dim": 2**31 - 1}, "q_proj"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
        ({"rope_theta": float("nan")}, "rope_theta"), ({"tie_word_embeddings": "no"}, "tie_word_embeddings"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings"), ({"head_dim": 6}, "q_proj"),
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_does_not_fit_is_one_named_error(folder, tmp_path, config, words):
    with pytest.raises(EdgertError) as caught:
        convert.load(changed(folder, tmp_path, **config))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_config_is_a_named_error(folder, tmp_path, content):
    changed(folder, tmp_path).joinpath("config.json").write_bytes(content)
    with pytest.raises(ConversionError, match=r"config\.json"):
        convert.load(tmp_path)


def test_damaged_safetensors_files_are_named_errors(folder, tmp_path):
    changed(folder, tmp_path)
    good, path = (folder / "model.safetensors").read_bytes(), tmp_path / "model.safetensors"
    for n in [*range(64), 300, len(good) - 1]:
        path.write_bytes(good[:n])
        with pytest.raises(ConversionError):
            convert.load(tmp_path)
    for word in (0, 1, 2**31, 2**63, 2**64 - 1):
        path.write_bytes(word.to_bytes(8, "little") + good[8:])
        with pytest.raises(ConversionError, match="safetensors"):
            convert.load(tmp_path)
    for old, new in (
        (b'"F32"', b'"F99"'),
        (b"[10, 8]", b"[10, 9]"),
        (b"[10, 8]", b"[-1, 8]"),
        (b"data_offsets", b"data_offsetz"),
    ):
        path.write_bytes(good.replace(old, new))
        with pytest.raises(ConversionError):
            convert.load(tmp_path)


def test_tensors_missing_doubled_unknown_or_not_finite_are_named(folder, tmp_path):
    changed(folder, tmp_path)
    rng = np.random.default_rng(0)
    extra = tmp_path / "more.safetensors"
    write_safetensors(extra, {"model.norm.weight": rng.normal(0, 1, 8)})
    with pytest.raises(ConversionError, match=r"'model\.norm\.weight' is in more than one"):
        convert.load(tmp_path)
    write_safetensors(extra, {"model.layers.0.adapter.weight": rng.normal(0, 1, 8)})
    with pytest.raises(ConversionError, match=r"adapter\.weight' has no place"):
        convert.load(tmp_path)
    write_safetensors(extra, {"model.layers.0.self_attn.q_proj.bias": np.full(8, np.nan)})
    with pytest.raises(ConversionError, match=r"q_proj\.bias' has numbers that are not finite"):
        convert.load(tmp_path)
    extra.unlink()
    changed(folder, tmp_path, vocab_size=10, tie_word_embeddings=False)
    assert convert.load(tmp_path)[0].metadata.task == "generate"  # a head that is not there is the embedding


def test_a_vocabulary_larger_than_the_embedding_is_refused_and_a_smaller_noted(folder, tmp_path):
    changed(folder, tmp_path)
    for letters, words in (("abcdefghijk", "the tokenizer has 11 tokens and the embedding 10"), ("abc", None)):
        model = {"type": "BPE", "vocab": {letter: i for i, letter in enumerate(letters)}, "merges": []}
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
        if words:
            with pytest.raises(ConversionError, match=words):
                convert.load(tmp_path)
        else:
            assert "7 rows more" in convert.load(tmp_path)[1].notes[0]


def test_options_that_do_not_apply_or_fit_are_refused(folder):
    for options, word in (
        ({"weights": "int3"}, "weights"), ({"kv": "int4"}, "kv"), ({"context": 17}, "context"),
        ({"context": 1}, "context"), ({"labels": ("a",)}, "labels"), ({"tokenizer": "x"}, "tokenizer"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=word):
            convert.load(folder, **options)


def test_a_folder_without_a_model_and_truncated_files_are_named(tmp_path, data_file):
    with pytest.raises(ConversionError, match=r"config\.json"):
        convert.load(tmp_path)
    content = data_file("lm/stories260K.bin").read_bytes()
    for n in (0, 27, 28, 1000, len(content) - 1):
        (tmp_path / "stories.bin").write_bytes(content[:n])
        with pytest.raises(ConversionError):
            convert.load(tmp_path / "stories.bin")
    for n in (4, 24, 100, 4000):
        (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + content[: n - 4])
        with pytest.raises(EdgertError):
            convert.load(tmp_path / "x.gguf")
