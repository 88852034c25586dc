"""The field's standard terms, in place of private ones, in code, settings, help and pages."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
SOURCES = ("src/textae", "scripts", "configs", "docs", "README.md", "CONTRIBUTING.md")
CODE = ("src/textae", "scripts")
MODEL = tuple(f"src/textae/{room}" for room in ("layers", "models", "losses", "exporting", "inference", "training"))
# A private word, where it must not stand, and the standard one. Where no place is given: everywhere.
PRIVATE = [
    (r"informed_start|start_informed|start_transposed|transposed start|begins? as the transpose", SOURCES, "orthogonal"),
    (r"start_placed|require_places|\bplaces\b", SOURCES, "codewords, fixed codes; positions"),
    (r"\bwaves?\b|decoder_input", SOURCES, "Fourier features"),
    (r"train_encoder\b", SOURCES, "freeze_encoder"),
    (r"\bjudges?\b", SOURCES, "evaluation model"),
    (r"\bways? up\b|\b(?:each|every|other|these|all|four|five|known) ways?\b|\bways\b", SOURCES, "implementation; upsampling method"),
    (r"\bnumbers (?:of|per|for|in) (?:a|one|each|every|the)? ?(?:latents?|tokens?|texts?|vectors?|documents?|paragraphs?)\b", SOURCES, "dimensions; floats per token"),
    (r"\bfigures\b(?!\.py|\.| import)", ("docs", "README.md", "CONTRIBUTING.md", "configs"), "metrics; results (figures are plots)"),
    (r"\b(?:comes?|came|coming|brings?|brought|bringing|gives?|gave|given|giving|gets?|got) (?:\w+ ){0,3}back\b", SOURCES, "is reconstructed"),
    (r"\bby heart\b", SOURCES, "memorised; overfit on N documents"),
    (r"\bcrosstalk\b", SOURCES, "interference"),
    (r"\bbears? (?:the |this |such )?noise\b", SOURCES, "is robust to noise"),
    (r"\brandom_tokens\b", SOURCES, "random_token_rate"),
    (r"\bshort_first\b", SOURCES, "length_curriculum"),
    (r"\blong_documents\b|overflow[= ]+cut\b", SOURCES, "overflow: split, truncate, drop"),
    (r"(?<!sentence)(?<!Sentence)\bpieces?\b", [place for place in SOURCES if place != "src/textae"] + list(MODEL), "segment; latent position"),
    (r"\bchunk(?:s|ed)?\b", SOURCES, "latent position; segment"),
    (r"max_blocks|block_counter|blocks_of|block_logits|\bper block\b|\bblocks? of tokens\b", SOURCES, "latent positions"),
    (r"\bmodel\.units\b|encoder_units|\bmodel\.widths\b", SOURCES, "residual_blocks, encoder_residual_blocks, channels"),
    (r"\bclip_norm\b|training\.accumulate\b|training\.buckets\b|\bbatch_tokens\b|training\.ema\b", SOURCES, "the new keys"),
    (r"\bvalidate_every\b|training\.samples\b|\balive(?:_dimensions)?\b", SOURCES, "eval_every_steps, num_logged_samples, active_units"),
    (r"\bCollapse\b|\bExpand\b", SOURCES, "SequenceToVector, VectorToSequence"),
    (r"\bEndFinder\b|\bend_finder\b|block counter|end finder", SOURCES, "length head"),
    (r"\bwanted\b|\btold\b", MODEL, "target_lengths; predicted length"),
    (r"\breal\b(?! time)", MODEL, "mask"),
    (r"\bnats\b(?= =|\[|\.)|\.nats\b", CODE, "token_losses"),
    (r"\breach(?:es)?\b|\btails?(?:_\w+)?\b", ("src/textae/layers", "docs/layers.md"), "effective kernel size; output remainder"),
    (r"\bdef (?:ahead|begun|answers|say)\b|\b(?:ahead|begun|answers|say)\(", CODE, "prefetch, peek, line_writer, logger.info"),
    (r"\bRecipe\b|\bcarved\b|\bfor_few\b", CODE, "corpus specification, split fractions, small-corpus fallback"),
    (r"of computed positions", SOURCES, "padding efficiency"),
    (r"\b(?:odd|foreign) lines?\b", SOURCES, "anomalies"),
    (r"\bstrangers?\b", SOURCES, "untrusted files"),
    (r"\bwill not do\b|setting that there is|settings that exist", SOURCES, "invalid input; unknown key; did you mean ...?"),
    (r"\bby_name\b|\bexplanations\b|\btextae\.(?:card|machine|options|graphs)\b", SOURCES, "tfds, errors, model_card, hardware, argv, export_graphs"),
]  # fmt: skip


def files(place):
    path = ROOT / place
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix in (".py", ".yaml", ".md"))
    return sorted(p for p in found if p.name not in ("old_formats.py", "key_names.py"))  # of old names


def found(pattern, places):
    """Lines that hold the pattern, as file:line: text; a word within a name of a test file does not count."""
    for place in places:
        for path in files(place):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(pattern, re.sub(r"tests/[\w/]+\.py(::\w+)?|test_\w+", "", line)):
                    yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


@pytest.mark.parametrize(("pattern", "places", "standard"), PRIVATE, ids=[row[0][:40] for row in PRIVATE])
def test_no_private_word(pattern, places, standard):
    lines = list(found(pattern, places))
    assert not lines, f"{len(lines)} lines; write: {standard}\n" + "\n".join(lines[:20])
