"""The API against its own document: schemathesis makes the requests, and checks the answers."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("fastapi", reason="needs 'vdsr[serve]'")
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

import hypothesis  # noqa: E402
from schemathesis import checks  # noqa: E402

import serving  # noqa: E402

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the server's processes need POSIX"),
    # Of libraries that schemathesis brings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
# Requests for each call; more by VDSR_EXAMPLES.
EXAMPLES = int(os.environ.get("VDSR_EXAMPLES", "15"))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with serving.serving(tmp_path_factory.mktemp("serve"), "--rate", "0") as server:
        yield server.address


def test_answers_are_as_the_document_says(address):
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None)
        @hypothesis.seed(1)
        @hypothesis.given(case=operation.as_strategy())
        def check(case):
            response = case.call(base_url=address, timeout=60)
            assert response.status_code < 500 or response.status_code == 503
            case.validate_response(
                response,
                checks=[
                    checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ],
            )

        check()
        seen += 1
    assert seen >= 11
