"""What is named, tagged or held though its bytes are not here."""

from instrument.cli.output import say
from instrument.cli.words import visible
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion


def warn_if_lacking(store: Store, version: ArtifactVersion) -> None:
    """Tell on stderr that bytes of `version` are not here, and how they come back."""
    from instrument.artifacts.presence import why_lacking

    lacking = why_lacking(store, version)
    if lacking is not None:
        say(f"warning: bytes of {version.ref} are not here: {visible(lacking)}")
