"""A base model for use without chat templates, and what was seen of it while it was loaded."""

import threading
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple, overload

from instrument.errors import ContaminationError, MissingDependencyError, UsageError
from instrument.intercept import session
from instrument.intercept.facts import digest_of_text
from instrument.provenance.checks import PLAIN_TEXT, Check, check, checks_of_load, complaint
from instrument.provenance.code import read_code
from instrument.provenance.control_tokens import ControlTokens, chat_templates, control_tokens
from instrument.provenance.generating import continuations, seeded
from instrument.provenance.quantization import (
    check_quantization,
    quantization_options,
    seen_quantization,
)
from instrument.provenance.sentinels import NEW_TOKENS, SENTINELS, Sentinel, run_sentinels
from instrument.provenance.templates import disable_template, template_is_disabled
from instrument.provenance.version import loader_version
from instrument.provenance.watching import (
    Identified,
    identified,
    last_settings,
    was_changed,
    watched,
)
from instrument.records import ModelChecked

_FOR_BOTH: Final = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "revision",
    "subfolder",
    "token",
    "trust_remote_code",
)
"""Options of ``from_pretrained`` that say where model and tokenizer are."""
_loading: Final = threading.Lock()
"""transformers exchanges a method of its base class while it loads: two threads that do can leave
the wrong one there, and tied weights of all later models without a value."""


class _Loaded(NamedTuple):
    """What was loaded, and what was seen of it."""

    model: Any
    tokenizer: Any
    provenance: dict[str, Any]
    controls: ControlTokens
    load_id: int | None


class ContaminationWarning(UserWarning):
    """A check failed for which a strict loader raises `ContaminationError`."""


class CleanModelLoader:
    """Loads a causal language model for use without chat templates, and measures what it is.

    Args:
        model_name: Id on the model hub, or a directory.
        quantization: ``none``, ``8bit``, ``nf4`` or ``fp4``; None for a model as it comes.
        add_special_tokens: Whether `tokenize_clean` lets the tokenizer add its BOS and EOS.
        strict: Raise where a check fails; else warn and record.
        sentinels: Prompts that are really continued, greedily; none: no such check is made.
        **options: Further options of ``AutoModelForCausalLM.from_pretrained``, such as
            ``revision``, ``dtype`` and ``device_map``.

    Raises:
        UsageError: There is no such quantization.
        MissingDependencyError: A library that is needed is not installed.
    """

    def __init__(
        self,
        model_name: str,
        quantization: str | None = "none",
        *,
        add_special_tokens: bool = False,
        strict: bool = True,
        sentinels: Iterable[Sentinel] = SENTINELS,
        **options: Any,
    ) -> None:
        check_quantization(quantization)
        self._name = str(model_name)
        self._quantization = quantization
        self._add_special_tokens = bool(add_special_tokens)
        self._strict = strict
        self._sentinels = tuple(sentinels)
        self._options = options
        self._loaded: _Loaded | None = None
        self._lock = threading.RLock()
        self._told: set[tuple[str, ...]] = set()
        self._here = threading.local()

    def load(self) -> tuple[Any, Any, dict[str, Any]]:
        """The model, its tokenizer without chat templates, and the provenance of both.

        The provenance is JSON; docs/clean-loading.md tells its fields. Loading again gives the same
        objects.

        Raises:
            ContaminationError: A check failed, and the loader is strict.
            MissingDependencyError: transformers is not installed.
            Exception: What ``from_pretrained`` raises.
        """
        with self._lock:
            if self._loaded is None:
                with watched():
                    loaded = self._load()
                    self._check(loaded)
                self._loaded = loaded
            self._look_at_weights(self._loaded)
            return self._loaded.model, self._loaded.tokenizer, self._loaded.provenance

    def tokenize_clean(self, text: str | list[str], **options: Any) -> Any:
        """What the tokenizer makes of plain text.

        Args:
            text: A text or several.
            **options: Further arguments of the tokenizer, such as ``return_tensors="pt"``.

        Raises:
            ContaminationError: A control token stands in a text, or comes out of one, and the
                loader is strict.
            UsageError: Nothing is loaded yet, or an option contradicts the loader.
        """
        if "add_special_tokens" in options:
            raise UsageError(
                "add_special_tokens is set for all texts: CleanModelLoader(add_special_tokens=…)"
            )
        loaded = self._needed()
        tokens = self._tokens(loaded.tokenizer, text)
        if isinstance(text, str):
            self._look_at(loaded, text, tokens["input_ids"])
        else:
            for one, ids in zip(text, tokens["input_ids"], strict=True):
                self._look_at(loaded, one, ids)
        return self._tokens(loaded.tokenizer, text, **options) if options else tokens

    @overload
    def generate(self, prompts: str, *, seed: int | None = None, **settings: Any) -> str: ...
    @overload
    def generate(
        self, prompts: list[str], *, seed: int | None = None, **settings: Any
    ) -> list[str]: ...
    def generate(
        self, prompts: str | list[str], *, seed: int | None = None, **settings: Any
    ) -> str | list[str]:
        """Continue plain text; `last_generation` then has the settings that were really used.

        Args:
            prompts: A text, or several as one batch.
            seed: Of this call alone: torch's generators are as before when it ends.
            **settings: Arguments of the model's ``generate``.

        Returns:
            The continuation without the prompt and without special tokens; of a list a list, in
            which several sequences of one prompt follow one another.

        Raises:
            ContaminationError: A control token stands in a prompt, and the loader is strict.
            UsageError: Nothing is loaded yet, a prompt is empty, or one that is not in a list has
                several sequences.
        """
        loaded = self._needed()
        given = [prompts] if isinstance(prompts, str) else prompts
        ids = self.tokenize_clean(given)["input_ids"] if given else []
        if not ids or not all(ids):
            raise UsageError("a prompt is empty; give at least one token to continue")
        if settings.get("stop_strings"):
            settings = {"tokenizer": loaded.tokenizer, **settings}
        self._look_at_weights(loaded)
        with watched() as recorder, seeded(seed):
            rows = continuations(loaded.model, loaded.tokenizer, ids, settings)
            self._here.settings = last_settings(recorder) | (
                {"seed": seed} if seed is not None else {}
            )
        texts = [str(loaded.tokenizer.decode(row, skip_special_tokens=True)) for row in rows]
        if isinstance(prompts, str) and len(texts) > 1:
            raise UsageError(f"{len(texts)} sequences of one prompt: give the prompt in a list")
        return texts[0] if isinstance(prompts, str) else texts

    @property
    def last_generation(self) -> dict[str, Any]:
        """Settings of this thread's last `generate`, as the library resolved them, and its seed.

        Raises:
            UsageError: This thread has not generated yet.
        """
        settings: dict[str, Any] | None = getattr(self._here, "settings", None)
        if settings is None:
            raise UsageError("nothing was generated in this thread yet; call generate first")
        return dict(settings)

    # --- inside --------------------------------------------------------------------------------

    def _load(self) -> _Loaded:
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError(
                f"transformers cannot be imported ({error}); install instrument-ml[transformers]"
            ) from error
        shared = {name: self._options[name] for name in _FOR_BOTH if name in self._options}
        tokenizer = AutoTokenizer.from_pretrained(self._name, **shared)
        options = quantization_options(self._quantization) | self._options
        with _loading:
            model = AutoModelForCausalLM.from_pretrained(self._name, **options)
        templates, controls = chat_templates(tokenizer), control_tokens(tokenizer)
        disable_template(tokenizer)
        provenance = self._measured(model, tokenizer)
        provenance["chat_templates"] = {
            name: digest_of_text(text) for name, text in templates.items()
        }
        return _Loaded(model, tokenizer, provenance, controls, identified(model).load_id)

    def _measured(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        code, weights, words = read_code(), identified(model), identified(tokenizer)
        git = code.git
        return {
            "git_commit": git.commit if git is not None else None,
            "git_branch": git.branch if git is not None else None,
            "git_dirty": git.dirty if git is not None else None,
            "git_reason": code.reason,
            "timestamp": datetime.now(UTC).isoformat(),
            "loader_version": loader_version(),
            "model_name": self._name,
            "model_commit": getattr(model.config, "_commit_hash", None),
            **_digest_of_model(model, weights),
            "tokenizer_digest": words.digest,
            "tokenizer_digest_reason": words.reason,
            "quantization": seen_quantization(model),
            "template_disabled": template_is_disabled(tokenizer),
            "add_special_tokens": self._add_special_tokens,
            "contaminated_texts": 0,
        }

    def _check(self, loaded: _Loaded) -> None:
        """Make all checks, put them on the record, and only then tell of one that failed."""
        provenance = loaded.provenance
        ids = self._tokens(loaded.tokenizer, PLAIN_TEXT)["input_ids"]
        controls, decode = loaded.controls, loaded.tokenizer.decode
        provenance["special_tokens_added"] = controls.around(ids)
        added = {*controls.in_tokens(ids), *controls.in_text(decode(controls.inside(ids)))}
        continued = partial(self._continued, loaded)
        tests = run_sentinels(self._sentinels, continued, decode, controls)
        provenance["sentinel_tests"] = tests
        provenance["sentinel_tests_passed"] = (
            all(test["passed"] for test in tests) if tests else None
        )
        checks = [*checks_of_load(provenance, self._quantization, added)]
        for made in checks:
            _record(loaded, made)
        for made in checks:
            if not made["passed"]:
                self._complain(made)

    def _continued(self, loaded: _Loaded, prompt: str) -> list[int]:
        """The greedy continuation of `prompt`."""
        ids = self._tokens(loaded.tokenizer, prompt)["input_ids"]
        settings = {"do_sample": False, "num_beams": 1, "max_new_tokens": NEW_TOKENS}
        return continuations(loaded.model, loaded.tokenizer, [ids], settings)[0]

    def _tokens(self, tokenizer: Any, text: str | list[str], **options: Any) -> Any:
        """The one place where text becomes tokens."""
        return tokenizer(text, add_special_tokens=self._add_special_tokens, **options)

    def _look_at_weights(self, loaded: _Loaded) -> None:
        """A model that was changed since is not told by the digest of its load."""
        digest = loaded.provenance["model_digest"]
        if digest is not None and was_changed(loaded.model):
            reason = f"its weights were changed since the load, by which it was {digest}"
            loaded.provenance.update(model_digest=None, model_digest_reason=reason)

    def _look_at(self, loaded: _Loaded, text: str, ids: list[int]) -> None:
        """Tell of control tokens in `text`; of the same ones once."""
        controls = loaded.controls
        found = tuple(sorted({*controls.in_text(text), *controls.in_tokens(ids)}))
        if not found:
            return
        made = check("text", passed=False, control_tokens=list(found))
        with self._lock:
            loaded.provenance["contaminated_texts"] += 1
            is_news = found not in self._told
            self._told.add(found)
        if is_news:
            _record(loaded, made)
        self._complain(made)

    def _complain(self, failed: Check) -> None:
        if self._strict:
            raise ContaminationError(complaint(failed))
        warnings.warn(complaint(failed), ContaminationWarning, stacklevel=2)

    def _needed(self) -> _Loaded:
        if self._loaded is None:
            raise UsageError(f"{self._name} is not loaded yet; call load() first")
        return self._loaded


def _digest_of_model(model: Any, base: Identified) -> dict[str, str | None]:
    """None where an adapter is on the model: what was loaded as the model is its base alone."""
    adapters = sorted(getattr(model, "peft_config", None) or ())
    if not adapters:
        return {"model_digest": base.digest, "model_digest_reason": base.reason}
    names = ", ".join(adapters)
    reason = f"adapters are on the model: {names}; of its base alone it is {base.digest}"
    return {"model_digest": None, "model_digest_reason": reason}


def _record(loaded: _Loaded, made: Check) -> None:
    """On the record of the run that is open, if one is."""
    found = session.find()
    if found is not None:
        found.recorder.record(ModelChecked(load_id=loaded.load_id, **made))
