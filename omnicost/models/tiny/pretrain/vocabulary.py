"""Small tokenizers in the formats of BERT (WordPiece) and CLIP (byte-level pairs).

Every letter is in both vocabularies, so any class name can be written; words of the tiny world's
names take one token, or a few.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, CLIPTokenizer

# transformers' GroundingDINO knows these by their number in bert-base-uncased.
BERT_FIXED = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
BERT_FIXED |= {".": 1012, "?": 1029}
CLIP_LENGTH = 77  # tokens, as in openai/clip-vit-base-patch32


def bert_tokenizer(names: Iterable[str]) -> BertTokenizer:
    """WordPiece vocabulary of the words of ``names``, letters, digits and punctuation.

    Words take the numbers that ``BERT_FIXED`` leaves free, from 1 up; gaps stay ``[unusedN]``.
    """
    characters = string.ascii_lowercase + string.digits
    pieces = [*characters, *(f"##{c}" for c in characters)]
    pieces += [c for c in string.punctuation if c not in BERT_FIXED]
    pieces += sorted(_words(names) - set(characters))
    taken = set(BERT_FIXED.values())
    free = (number for number in range(1, 30_000) if number not in taken)
    vocabulary = BERT_FIXED | dict(zip(pieces, free, strict=False))
    used = set(vocabulary.values())
    for number in range(max(used)):
        if number not in used:
            vocabulary[f"[unused{number}]"] = number
    ordered = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    return BertTokenizer(vocab=ordered, do_lower_case=True, model_max_length=256)


def clip_tokenizer(names: Iterable[str], templates: Sequence[str]) -> CLIPTokenizer:
    """Byte-level pairs whose merges build the words of ``names`` and ``templates``."""
    alphabet = sorted(ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{c}</w>" for c in alphabet)]
    merges: dict[tuple[str, str], None] = {}
    for word in sorted(_words(names) | _words(t.replace("{}", " ") for t in templates)):
        symbols = [*word[:-1], f"{word[-1]}</w>"]
        while len(symbols) > 1:
            merges[symbols[0], symbols[1]] = None
            symbols[:2] = [symbols[0] + symbols[1]]
    pieces += dict.fromkeys(left + right for left, right in merges)
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=CLIP_LENGTH)


def _words(texts: Iterable[str]) -> set[str]:
    """Lower-case runs of letters, as both tokenizers split them."""
    spaced = ("".join(c if c.isalpha() else " " for c in text.lower()) for text in texts)
    return {word for text in spaced for word in text.split()}
