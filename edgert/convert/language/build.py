"""From a source's weights and settings to a validated Graph."""

import os
from dataclasses import dataclass

from edgert import __version__, opset
from edgert.convert.draft import Draft
from edgert.convert.language import golden
from edgert.convert.language.decoder import Assembler, check
from edgert.convert.language.spool import Spool
from edgert.errors import ConversionError, InputError, ModelFormatError
from edgert.graph import Metadata

WEIGHTS, KV = ("int8", "int4", "float"), ("int8", "float")
DEFAULT_CONTEXT = 4_096  # most that is set up unasked: the caches and the rope table grow with it


@dataclass(frozen=True)
class Options:
    """How a language model is stored. weights: "int8", "int4" or "float"; kv: the caches, "int8" or "float"; context:
    tokens that they hold, else the model's own, at most DEFAULT_CONTEXT. folder: where the temporary file lies.
    """

    weights: str = "int8"
    kv: str = "int8"
    context: int = None
    name: str = None
    folder: str = None

    def __post_init__(self):
        for field, known in (("weights", WEIGHTS), ("kv", KV)):
            if getattr(self, field) not in known:
                raise InputError(f"{field} is {getattr(self, field)!r}; it must be one of {', '.join(known)}")
        if self.context is not None and not (isinstance(self.context, int) and 2 <= self.context <= 2**20):
            raise InputError(f"context is {self.context!r}; it must be a whole number from 2 to {2**20:,}")


@dataclass
class Source:
    """A model as an importer found it.

    decoder: a Decoder. weights: name -> Array. text: a graph.Text. provenance: dict for the metadata. notes: sentences
    for the report.
    """

    decoder: object
    weights: dict
    text: object
    provenance: dict
    notes: list


def load(source, name, options):
    """(Graph, Draft) of a `Source`. Raises: ConversionError."""
    decoder, tokenizer = source.decoder, source.text.tokenizer
    check(decoder, source.weights)
    draft = Draft(options.name or name)
    draft.notes += source.notes
    if tokenizer is not None:
        _check_vocabulary(len(tokenizer.kinds), decoder.vocabulary, draft.notes)
    head_type = "int8" if options.weights == "int4" else options.weights
    assembler = Assembler(draft, Spool(options.folder), decoder, source.weights, options.weights, head_type, options.kv)
    assembler.build()
    draft.operators = len(draft.nodes)
    if assembler.kept_int8:
        names = ", ".join(sorted({name.partition(".")[2] or name for name in assembler.kept_int8}))
        draft.notes.append(f"int8 where int4 needs rows of a multiple of 32: {names}")
    provenance = {
        "converter": f"edgert {__version__}",
        "weights": options.weights,
        "kv": options.kv,
        **source.provenance,
    }
    graph = draft.finish(Metadata("generate", provenance=provenance, text=source.text))
    try:
        opset.validate(graph)
    except ModelFormatError as error:
        raise ConversionError(f"{os.path.basename(name)}: the model does not hold together: {error}") from None
    answers = golden.vectors(graph, decoder.context, draft.notes)
    return graph.replace(metadata=graph.metadata.replace(golden=answers, report="\n".join(draft.notes))), draft


def chosen_context(options, most, notes):
    """Tokens that the caches shall hold; `most`: what the model was made for."""
    if options.context is not None:
        if options.context > most:
            raise InputError(f"context is {options.context:,}; the model was made for at most {most:,} tokens")
        return options.context
    if most > DEFAULT_CONTEXT:
        notes.append(f"the caches hold {DEFAULT_CONTEXT:,} of the {most:,} tokens the model was made for (--context)")
    return min(most, DEFAULT_CONTEXT)


def _check_vocabulary(tokens, rows, notes):
    if tokens > rows:
        raise ConversionError(
            f"the tokenizer has {tokens:,} tokens and the embedding {rows:,} rows; they do not belong together"
        )
    if tokens < rows:
        notes.append(
            f"the embedding has {rows - tokens:,} rows more than the tokenizer has tokens; they are never chosen"
        )
