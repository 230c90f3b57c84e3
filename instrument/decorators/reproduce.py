"""`@reproducible`: a call is a run, with its arguments, its seeds and what became of it."""

from typing import Any, overload

from instrument import given
from instrument.capture.determinism import read_seeds, set_seeds, unseeded
from instrument.decorators.target import Aspect, Called
from instrument.decorators.wrapping import Decorator, F, decorator
from instrument.errors import UsageError


class Reproducible(Aspect):
    """Sets seeds when asked, and puts on the record with which ones the function runs.

    Args:
        seed: Seed to set before each call, or None.
        deterministic: Whether to make libraries deterministic; None leaves them as they are.
    """

    rank = 0

    def __init__(self, seed: int | None, deterministic: bool | None) -> None:
        self._seed = seed
        self._deterministic = deterministic
        self.changes_results = seed is not None

    def unrecorded(self) -> None:
        """Set the seeds: results do not depend on whether they are recorded."""
        if self._seed is not None:
            set_seeds(self._seed, deterministic=self._deterministic)

    def before(self, call: Called) -> None:
        """Set and record the seeds; reading costs, so unset ones are read once per function."""
        if self._seed is not None:
            set_in = set_seeds(self._seed, deterministic=self._deterministic)
            call.memory[self, "set_in"] = set_in
            call.run.record(read_seeds(self._seed, set_in))
        elif not call.owns and call.memory.setdefault(self, call.id) == call.id:
            call.run.record(read_seeds(None, ()))

    def after(self, call: Called, value: Any) -> None:  # noqa: ARG002 - the aspect's signature
        """Tell, once in a run, which libraries the function imported after the seed was set."""
        memory = call.memory
        set_in = memory.get((self, "set_in"))
        late = unseeded(set_in) if set_in else ()
        if late and memory.setdefault((self, "late"), call.id) == call.id:
            reason = f"{call.target.name} imported it after the seed was set; import it before"
            call.run.problem(f"seed {' and '.join(late)}", ImportError(reason))


@overload
def reproducible(function: F, /) -> F: ...
@overload
def reproducible(
    *,
    name: str | None = None,
    capture_level: int | None = None,
    seed: int | None = None,
    deterministic: bool | None = None,
) -> Decorator: ...
def reproducible(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    capture_level: int | None = None,
    seed: int | None = None,
    deterministic: bool | None = None,
) -> Any:
    """Record each call of a function, method, coroutine or generator.

    With no open run a call opens one, and is it: the run has the call's arguments as parameters and
    ends COMPLETED when the function returns, FAILED when it raises. Inside an open run the call is
    recorded as a part of that run. Return values and exceptions come through unchanged.

        @reproducible(name="baseline", seed=42)
        def train(config): ...

    Args:
        function: The function, when used without parentheses.
        name: Name of the run that a call opens; the function's own by default.
        capture_level: How much of the environment such a run captures: 1, 2 or 3.
        seed: Seed to set before each call in `random` and, where they are loaded, numpy and torch.
            None leaves all random state untouched. Either way it is recorded; set it is also
            where recording is disabled.
        deterministic: With a seed: True makes libraries use deterministic algorithms where they
            have them, False allows the others; None leaves it as it is.

    Raises:
        UsageError: An argument is not usable, or what is decorated is not a function.
    """
    _check(name, capture_level, seed, deterministic)
    options: dict[str, Any] = {"name": name, "capture_level": capture_level}
    set_here = {option: value for option, value in options.items() if value is not None}
    return decorator("reproducible", function, Reproducible(seed, deterministic), set_here)


def _check(name: Any, capture_level: Any, seed: Any, deterministic: Any) -> None:
    if name is not None:
        given.text("name", name)
    if capture_level not in (None, 1, 2, 3):
        raise UsageError(f"capture_level={capture_level!r:.80} is unknown; use 1, 2 or 3")
    given.seed(seed)
    if deterministic is not None and seed is None:
        raise UsageError(f"deterministic={deterministic!r:.80} needs a seed; add seed=…")
