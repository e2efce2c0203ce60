"""What the clients of object storage raise, in our words.

Each client has errors of its own: botocore's, which s3fs turns into OSError with the first as its cause, those of
google-auth and gcsfs, and aiohttp's. They are told apart by the status and the code of the response and by the names of
their classes: importing all of these packages would take seconds, and not all are installed.

Messages quote no URL and no response: both may have a signature in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from showtell.errors import BadConfig, BadImage, ShowtellError

_TRANSIENT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES: Final = frozenset(
    {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "RequestLimitExceeded", "Throttling"}
)
_TRANSIENT_NAMES: Final = frozenset(
    [
        *("HTTPClientError", "ConnectionError", "ResponseParserError", "IncompleteRead"),  # botocore
        *("ClientPayloadError", "ClientConnectionError"),  # aiohttp
        *("TransportError", "RequestException"),  # google-auth, requests
        *("TimeoutError", "CredentialRetrievalError"),  # asyncio's before Python 3.11; a busy metadata service
    ]
)
_CREDENTIAL_CODES: Final = frozenset(
    {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"}
)
_CREDENTIAL_NAMES: Final = frozenset(
    [
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
        *("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError"),
        *("DefaultCredentialsError", "RefreshError"),  # google-auth
    ]
)
_CONNECTION_NAMES: Final = frozenset(
    {"EndpointConnectionError", "ClientConnectorError", "ConnectTimeoutError", "ConnectionRefusedError"}
)
_CREDENTIALS: Final = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a public bucket needs FSSPEC_S3_ANON=true",
    "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; a public bucket needs "
    "FSSPEC_GS_TOKEN=anon",
}
SAME_AS: Final = {"s3a": "s3", "gcs": "gs"}
_ENDPOINTS: Final = {"s3": " and AWS_ENDPOINT_URL", "s3a": " and AWS_ENDPOINT_URL"}


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed later: throttling, a fault of the server, a connection that broke."""
    if isinstance(error, ShowtellError):
        return False
    if isinstance(error, TimeoutError) or _names(error) & _TRANSIENT_NAMES:
        return True
    return _status(error) in _TRANSIENT_STATUSES or _code(error) in _TRANSIENT_CODES


def translated(error: Exception, scheme: str, place: str, attempts: int) -> ShowtellError:
    """The error of a request. `place`: the bucket or host. BadConfig where no other request can succeed either, for
    lack of credentials, and so the command ends; else BadImage."""
    status, code, names = _status(error), _code(error), _names(error)
    if (
        code in _CREDENTIAL_CODES
        or names & _CREDENTIAL_NAMES
        or (status == 401 and SAME_AS.get(scheme, scheme) in _CREDENTIALS)
    ):
        found = f"credentials that were refused ({code or status})" if code or status else "no credentials"
        advice = _CREDENTIALS.get(SAME_AS.get(scheme, scheme), "give those of this storage")
        return BadConfig(f"{scheme}://{place}: found {found}; {advice}, and run it again")
    if code == "NoSuchBucket":
        return BadImage("missing", f"no bucket {place}; check its name{_ENDPOINTS.get(scheme, '')}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return BadImage("missing", "no such object")
    if isinstance(error, PermissionError) or status in (401, 403) or str(error).startswith("Forbidden"):
        return BadImage(
            "unreadable", f"access denied by {place}; expected credentials that may list and read it; ask its owner"
        )
    if is_transient(error):
        return BadImage("url_failed", f"{_reason(status, names, scheme, place)}; tried {attempts} times")
    if status is not None:
        return BadImage("url_failed", f"found the status {status}{f' ({code})' if code else ''} of {place}")
    return BadImage("unreadable", f"found {type(error).__name__} from the client of {scheme}://; check the name")


def is_empty_range(error: Exception) -> bool:
    """Whether bytes were asked for of an object that has none."""
    return _status(error) == 416 or _code(error) == "InvalidRange"


def _reason(status: int | None, names: frozenset[str], scheme: str, place: str) -> str:
    if status is not None:
        limit = "; give fewer requests at a time" if status in (429, 503) else ""
        return f"found the status {status} of {place}{limit}"
    if names & _CONNECTION_NAMES:
        return f"found no connection to {place}; check the network{_ENDPOINTS.get(scheme, '')}"
    return f"found no complete response of {place}; check the network"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__


def _names(error: Exception) -> frozenset[str]:
    return frozenset(base.__name__ for each in _chain(error) for base in type(each).__mro__)


def _status(error: Exception) -> int | None:
    """Of the HTTP response, where there was a whole one: aiohttp calls one that was cut 400."""
    if _names(error) & _TRANSIENT_NAMES:
        return None
    for each in _chain(error):
        found: Any = _response(each).get("ResponseMetadata", {}).get("HTTPStatusCode")
        # aiohttp's `code` warns that it is `status` now; gcsfs has a `code` only.
        other = each.status if hasattr(each, "status") else getattr(each, "code", None)
        for value in (found, other):
            if isinstance(value, int | str) and str(value).isdigit() and 100 <= int(value) < 600:
                return int(value)
    return None


def _code(error: Exception) -> str:
    """S3's name of the error, such as NoSuchBucket; empty where there is none."""
    codes = (_response(each).get("Error", {}).get("Code") for each in _chain(error))
    return next((code for code in codes if isinstance(code, str) and not code.isdigit()), "")


def _response(error: BaseException) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}
