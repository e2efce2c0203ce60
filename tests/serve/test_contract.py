"""The API against its own description: schemathesis makes requests, good and bad, from openapi.json."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection
from tests.serve.doubles import QuickCaptioner

from showtell.serve.admission import AccessPolicy, AdmissionMiddleware
from showtell.serve.api_routes import API_METHODS
from showtell.serve.app import create_app
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.server_metrics import ServerMetrics
from showtell.serve.service import Service

LIMITS = Limits(batch_delay=0)
EXAMPLES = 200
TRUE_OR_FALSE = {"true", "false", "on", "off", "yes", "no"}


@pytest.fixture(scope="module")
def app() -> Iterator[AdmissionMiddleware]:
    captioner = QuickCaptioner()
    batcher = Batcher(captioner, LIMITS)
    policy = AccessPolicy(allowed_methods=lambda path: API_METHODS.get(path, ()))
    api = create_app(Service(captioner, batcher, LIMITS), ServerMetrics())
    yield AdmissionMiddleware(api, LIMITS, policy, ServerMetrics())
    assert batcher.close(10)


@pytest.fixture(scope="module")
def description(app: AdmissionMiddleware) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


ADDRESSES = [
    ("POST", "/v1/caption"),
    ("GET", "/v1/models"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


def test_all_addresses_are_described(description: schemathesis.schemas.BaseSchema) -> None:
    described = [each.ok() for each in description.get_all_operations()]
    assert {(each.method.upper(), each.path) for each in described} == set(ADDRESSES)


# Not schemathesis' own decorator: it reaches into pytest where pytest 9 has changed.
def ask(operation: Any, mode: GenerationMode) -> tuple[set[int], set[str]]:
    """The statuses of many answers, each as described, and the media types of what was sent."""
    statuses, kinds = set(), set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        looks_good = mode == GenerationMode.NEGATIVE and looks_good_in_a_form(case)
        status = case.call_and_validate(excluded_checks=[negative_data_rejection] if looks_good else []).status_code
        if not looks_good:
            statuses.add(status)
        kinds.add(case.media_type)

    check()
    return statuses, kinds


def looks_good_in_a_form(case: schemathesis.Case) -> bool:
    """A field with a list of one is sent as the one would be, and a list of none is not sent; the text "1" is sent as
    the number, and the number 1 as the text that is as good as true; an empty text is as good as absent."""
    is_form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return is_form and any(
        (isinstance(value, list) and len(value) < 2) or reads_as_another_type(name, value)
        for name, value in case.body.items()
    )


def reads_as_another_type(name: str, value: object) -> bool:
    if value in (None, "", "null"):
        return name in ("language", "beam", "num", "max_length", "prompt", "attention")
    text = str(value).strip().lower()
    if name == "attention":
        return not isinstance(value, bool) and text in {"0", "1", "t", "f", "y", "n", *TRUE_OR_FALSE}
    return name in ("beam", "num", "max_length") and not isinstance(value, int) and text.removesuffix(".0").isdecimal()


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_good_requests_are_answered_as_described(
    description: schemathesis.schemas.BaseSchema, method: str, path: str
) -> None:
    statuses, kinds = ask(description[path][method], GenerationMode.POSITIVE)
    assert statuses == {200}
    assert kinds == ({"application/json", "multipart/form-data"} if method == "POST" else {None})


def test_bad_requests_are_refused_as_described(description: schemathesis.schemas.BaseSchema) -> None:
    """Only those that have a body can be bad: nothing is read of the others."""
    statuses, kinds = ask(description["/v1/caption"]["POST"], GenerationMode.NEGATIVE)
    assert statuses <= {400, 403, 404, 405, 413, 415, 422} and 422 in statuses
    assert {"application/json", "multipart/form-data"} <= kinds
