"""Generated repositories: the same verdict as fabric-cicd 1.4.0, and the same bytes."""

import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from shared.repository.render import RenderError
from tests.differential import compare, generated, peer

DRAWN = settings().max_examples
SOME = settings(max_examples=3 * DRAWN // 5, suppress_health_check=[HealthCheck.too_slow])
"""Each example sends a repository twice."""
STRICTER = (
    r"a regular expression may not begin with \$",
    r"must have exactly one group",
    r"is not a regular expression: .*",
    r"'\$[^']*' is not a variable",
    r"matches the entry of spark_pool in .*, which has no value for",
    r"the group of the regular expression (is empty in its first match|takes no part in a match)",
    r"the path cannot be followed",
    r"the value at .* cannot be set",
    r"the value for \w+ must be a non-empty text",
    r"extend must be a list of files",
    r"the template .* does not exist",
    r"must be a text or a list of texts",
)
"""Problems of what fabric-cicd only notices when it publishes, or never (docs/adr)."""


@contextmanager
def written(files: generated.Files) -> Generator[Path]:
    directory = Path(tempfile.mkdtemp())
    try:
        files.write(directory)
        yield directory
    finally:
        shutil.rmtree(directory)


@SOME
@given(generated.repositories, st.sampled_from(generated.ENVIRONMENTS))
def test_generated_repository_has_the_bytes_of_fabric_cicd(files: generated.Files, environment: str) -> None:
    """A repository that fabric-cicd publishes has its bytes; one that it fails to publish is refused."""
    with written(files) as root:
        try:
            sent = peer.send(root, environment)
        except peer.RefusedError as error:
            event("refused")
            assert fails(root, environment), str(error)
            return
        assert sent.parts
        found = compare.ours(root, environment)
        if found.problems:
            event("stricter")
            assert all(re.search("|".join(STRICTER), each) for each in found.problems), found.problems
            return
        comparison = compare.compared(root, environment)
        event(f"YAML kept: {comparison.kept}")
        assert comparison.differing == []


def fails(root: Path, environment: str) -> bool:
    """Return True if the code under test has a problem with a repository, or cannot render one of its parts."""
    found = compare.ours(root, environment)
    if found.problems or found.analysis is None:
        return True
    try:
        for item in found.repository.items:
            compare.rendered(root, item, found.analysis.compiled)
    except RenderError:
        return True
    return False


@SOME
@given(generated.broken_repositories, st.sampled_from(["PROD", "N/A"]), st.sampled_from([None, generated.ENV]))
def test_generated_parameter_file_gets_the_verdict_of_fabric_cicd(
    files: generated.Files, environment: str, env: dict[str, str] | None
) -> None:
    """A file that fabric-cicd refuses is refused; one that it accepts is accepted, but for the stricter rules."""
    with written(files) as root:
        accepted = peer.accepts(root, environment, env=env)
        problems = compare.ours(root, environment, env).problems
        event("accepted" if accepted else "refused")
        if accepted:
            assert [each for each in problems if not re.search("|".join(STRICTER), each)] == []
        else:
            assert problems
