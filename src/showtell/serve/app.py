"""The routes of the HTTP API.

POST /v1/caption   GET /v1/models   GET /healthz   GET /readyz   GET /metrics   GET /openapi.json
"""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from showtell import __version__
from showtell.errors import BadImage, ShowtellError
from showtell.fetch.fetch import Fetcher
from showtell.records import Caption
from showtell.serve.client_key import client_key
from showtell.serve.error_response import INTERNAL, ErrorResponse, RequestRejected, image_message
from showtell.serve.openapi import caption_body, responses
from showtell.serve.queue_errors import ShuttingDown
from showtell.serve.queued_request import Outcome
from showtell.serve.request_parsing import parse_caption_request
from showtell.serve.schema import (
    CaptionOut,
    CaptionResponse,
    ErrorOut,
    Health,
    ImageResult,
    ModelOut,
    ModelsOut,
)
from showtell.serve.server_metrics import CONTENT_TYPE, ServerMetrics
from showtell.serve.service import Service
from showtell.serve.url_fetcher import UrlFetcher

STATUS_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def create_app(
    service: Service, metrics: ServerMetrics, fetcher: Fetcher | None = None, needs_key: bool = False
) -> FastAPI:
    """The API alone, without admission and page. Without a fetcher no URL is fetched.

    `needs_key`: the description says that the admission middleware asks for one.
    """
    app = FastAPI(
        title="showtell",
        version=__version__,
        description="Give it a photo, it writes the sentence.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if needs_key else [],
        separate_input_output_schemas=False,
    )
    _add_error_handlers(app, metrics)
    _add_caption_route(app, service, fetcher)
    _add_state_routes(app, service, metrics)
    return app


def _add_caption_route(app: FastAPI, service: Service, fetcher: Fetcher | None) -> None:
    app.state.url_fetcher = urls = None if fetcher is None else UrlFetcher(fetcher, service.limits)

    @app.post(
        "/v1/caption",
        summary="Caption images",
        response_model=CaptionResponse,
        response_model_exclude_none=True,
        responses=responses(400, 415, 422),
        openapi_extra={"requestBody": caption_body(service, fetcher is not None)},
    )
    async def caption(request: Request) -> CaptionResponse:
        """Each image gets captions, best first, or an error of its own; one bad image does not harm the others."""
        client = client_key(request.client and request.client.host)
        service.batcher.check_capacity(client)  # before a body is read for nothing
        parsed = await parse_caption_request(request, service.limits, fetcher is not None)
        options = service.generation_options(**parsed.options.model_dump())
        images = parsed.images if urls is None else await urls.fetch_all(parsed.images, client)
        outcomes = await service.caption(images, options, client)
        return CaptionResponse(model=service.model, results=[_result(outcome) for outcome in outcomes])


def _result(outcome: Outcome) -> ImageResult:
    if isinstance(outcome, BadImage):
        return ImageResult(error=ErrorOut(code=outcome.code, message=image_message(outcome)))
    captions: tuple[Caption, ...] = outcome
    return ImageResult(captions=[CaptionOut.from_caption(caption) for caption in captions])


def _add_state_routes(app: FastAPI, service: Service, metrics: ServerMetrics) -> None:
    @app.get("/v1/models", summary="What captions are written by", responses=responses())
    async def models() -> ModelsOut:
        model = ModelOut(
            id=service.model,
            languages=list(service.captioner.languages),
            calibrated=list(service.captioner.calibrated),
            grid=service.captioner.bundle.manifest.grid,
            max_length=service.captioner.max_length,
            takes_prompt=service.captioner.takes_prompt,
            decode=service.captioner.settings().model_dump(mode="json"),
        )
        return ModelsOut(models=[model])

    # Some balancers look at the head alone.
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the process lives", responses=responses())
    async def healthz() -> Health:
        return Health(status="ok")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether it takes requests", responses=responses())
    async def readyz() -> Health:
        if service.batcher.is_stopping:
            raise ShuttingDown
        if not service.batcher.is_alive:
            raise RequestRejected(ErrorResponse(503, "broken", "a thread of the server has died; start it again"))
        return Health(status="ready")

    @app.get("/metrics", summary="Counts and times for Prometheus", response_class=Response, responses=responses())
    async def prometheus() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)


def _add_error_handlers(app: FastAPI, metrics: ServerMetrics) -> None:
    def json_response(request: Request, response: ErrorResponse) -> JSONResponse:
        if request.scope["path"] != "/readyz":  # whose 503 is an answer
            metrics.count_rejection(response.code)
        return JSONResponse(response.content(), response.status, dict(response.headers))

    @app.exception_handler(RequestRejected)
    async def rejected(request: Request, error: RequestRejected) -> JSONResponse:
        return json_response(request, error.response)

    @app.exception_handler(ShowtellError)
    async def showtell_error(request: Request, error: ShowtellError) -> JSONResponse:
        return json_response(request, ErrorResponse.from_error(error))

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> JSONResponse:
        code = STATUS_CODES.get(error.status_code, "bad_request")
        return json_response(request, ErrorResponse(error.status_code, code, str(error.detail), error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after this answer, and the admission middleware logs it.
        return JSONResponse(INTERNAL.content(), INTERNAL.status)
