"""WordPiece tokens of report texts, by the `tokenizers` library (extra ``bert``)."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_LENGTH = 512
FILE, SETTINGS, VOCABULARY = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
# key of tokenizer_config.json -> attribute of the normalizer
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


class ReportTokenizer:
    """Texts to token ids with [CLS] and [SEP], cut to ``max_length`` tokens.

    Args:
        tokenizer: of the `tokenizers` library.
        settings: content of ``tokenizer_config.json``.
        max_length: tokens of a text, [CLS] and [SEP] among them; what is beyond is cut off.
    """

    def __init__(
        self, tokenizer: "Tokenizer", settings: dict[str, Any], max_length: int = MAX_LENGTH
    ):
        self._tokenizer, self.settings = tokenizer, settings
        self.max_length = max_length
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)

    def cut_to(self, max_length: int) -> "ReportTokenizer":
        """The same tokenizer for texts of at most ``max_length`` tokens."""
        settings = {**self.settings, "model_max_length": min(max_length, self.max_length)}
        return ReportTokenizer(self._tokenizer, settings, settings["model_max_length"])

    @property
    def size(self) -> int:
        """Number of tokens; the highest id is one less."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def pad_id(self) -> int | None:
        """Id of the padding token."""
        return self._tokenizer.token_to_id(_special(self.settings)["pad"])

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, (n,) int32 with n at most ``max_length``."""
        found = self._tokenizer.encode_batch_fast(list(texts))
        return [np.array(one.ids, np.int32) for one in found]

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``vocab.txt``."""
        self._tokenizer.no_truncation()  # a setting of the reader, not of the vocabulary
        self._tokenizer.save(str(folder / FILE))
        self._tokenizer.enable_truncation(self.max_length)
        write_json(folder / SETTINGS, self.settings)
        tokens = sorted(
            self._tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1]
        )
        text = "".join(f"{token}\n" for token, _ in tokens)
        (folder / VOCABULARY).write_text(text, encoding="utf-8")


def read_tokenizer(folder: Path, vocab_size: int, max_length: int = MAX_LENGTH) -> ReportTokenizer:
    """The tokenizer of a Hugging Face folder.

    ``tokenizer.json`` is taken if it is there, else ``vocab.txt``; ``tokenizer_config.json`` says
    about lower case and accents, and has the last word, as in `transformers`.

    Raises:
        UserError: there is none, a file is damaged, it has more tokens than the model
            (``vocab_size``), or it sets no [CLS] and [SEP].
    """
    library = tokenizers()
    settings = read_json(folder / SETTINGS, dict) if (folder / SETTINGS).is_file() else {}
    if (folder / FILE).is_file():
        tokenizer = _from_json(library, folder / FILE, settings)
    elif (folder / VOCABULARY).is_file():
        tokenizer = _from_vocabulary(library, folder / VOCABULARY, settings)
    else:
        raise UserError(
            f"{folder} has no tokenizer: neither {FILE} nor {VOCABULARY}; copy the one that the "
            "model was trained with."
        )
    longest = settings.get("model_max_length")
    if isinstance(longest, int | float) and 2 < longest < max_length:
        max_length = int(longest)
    result = ReportTokenizer(tokenizer, settings, max_length)
    if result.size > vocab_size:
        raise UserError(
            f"{folder}: the tokenizer has {result.size} tokens, but the model only {vocab_size}; "
            "copy the tokenizer that the model was trained with."
        )
    if len(result.encode([""])[0]) != 2:
        raise UserError(
            f"{folder / FILE} does not put [CLS] and [SEP] around a text, which BERT needs; export "
            "the tokenizer again, or delete it and keep vocab.txt."
        )
    return result


def train_tokenizer(
    texts: Sequence[str], vocab_size: int, max_length: int = MAX_LENGTH
) -> ReportTokenizer:
    """A WordPiece vocabulary of lower-case texts without accents, at most ``vocab_size`` tokens.

    Equal texts in equal order give equal tokens.

    Raises:
        UserError: ``vocab_size`` has no room for the characters of the texts.
    """
    library = tokenizers()
    settings: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": max_length,
        **{f"{kind}_token": token for kind, token in _SPECIAL.items()},
    }
    tokenizer = _word_pieces(library, {}, settings)
    # The library numbers characters inside words in the random order of a hash table and breaks
    # ties of frequency by number; characters that it is given first keep their numbers.
    normalize = tokenizer.normalizer.normalize_str
    characters = sorted({x for text in texts for x in normalize(text) if not x.isspace()})
    first = [*_SPECIAL.values(), *(f"##{x}" for x in characters)]
    if len(first) + len(characters) > vocab_size:
        raise UserError(
            f"the texts have {len(characters)} different characters, so a vocabulary needs more "
            f"than {len(first) + len(characters)} tokens, not {vocab_size}."
        )
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=first,
        initial_alphabet=characters,
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return ReportTokenizer(_word_pieces(library, vocabulary, settings), settings, max_length)


def tokenizers() -> ModuleType:
    """The library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "reading reports with BERT needs the tokenizers library: pip install "
            "'deepecg_jax[bert]'."
        ) from error
    return tokenizers


def _special(settings: dict[str, Any]) -> dict[str, str]:
    """Special tokens by kind; in the settings each is a text or an object with its content."""
    found = {}
    for kind, usual in _SPECIAL.items():
        given = settings.get(f"{kind}_token") or usual
        found[kind] = given["content"] if isinstance(given, dict) else str(given)
    return found


def _word_pieces(
    library: ModuleType, vocabulary: dict[str, int], settings: dict[str, Any]
) -> "Tokenizer":
    """BERT's tokenizer: clean text, split at spaces and punctuation, longest pieces first."""
    special = _special(settings)
    tokenizer = library.Tokenizer(
        library.models.WordPiece(vocabulary, unk_token=special["unk"], max_input_chars_per_word=100)
    )
    tokenizer.normalizer = library.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = library.decoders.WordPiece(prefix="##")
    if vocabulary:
        tokenizer.add_special_tokens([one for one in special.values() if one in vocabulary])
        ends = [(special[kind], vocabulary[special[kind]]) for kind in ("sep", "cls")]
        tokenizer.post_processor = library.processors.BertProcessing(*ends)
    return tokenizer


def _from_json(library: ModuleType, path: Path, settings: dict[str, Any]) -> "Tokenizer":
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(
            f"{path} is not a tokenizer that can be read ({str(error).strip()[:120]}); copy or "
            "export it again."
        ) from error
    own = tokenizer.normalizer
    if isinstance(own, library.normalizers.BertNormalizer):
        values = {
            attribute: settings.get(key, getattr(own, attribute))
            for key, attribute in _NORMALIZER.items()
        }
        tokenizer.normalizer = library.normalizers.BertNormalizer(
            clean_text=own.clean_text, **values
        )
    return tokenizer


def _from_vocabulary(library: ModuleType, path: Path, settings: dict[str, Any]) -> "Tokenizer":
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); copy it again.") from error
    tokens = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        twice = next(token for i, token in enumerate(tokens) if token in tokens[:i])
        raise UserError(f"{path} has the token {twice!r} twice; copy it again.")
    special = _special(settings)
    absent = [special[kind] for kind in ("unk", "cls", "sep") if special[kind] not in vocabulary]
    if absent:
        raise UserError(
            f"{path} has no token {', '.join(absent)}; it is not the vocabulary of a BERT model."
        )
    return _word_pieces(library, vocabulary, settings)
