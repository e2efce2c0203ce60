"""The HTTP API: what is at which address.

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
from showtell.serve.batcher import Outcome, Stopping
from showtell.serve.clients import client_of
from showtell.serve.intake import read_request
from showtell.serve.meters import CONTENT_TYPE, Meters
from showtell.serve.openapi import caption_body, responses
from showtell.serve.refusal import INTERNAL, Refusal, RefusedError
from showtell.serve.schema import (
    CaptionOut,
    CaptionResponse,
    ErrorOut,
    Health,
    ModelOut,
    ModelsOut,
    Result,
)
from showtell.serve.service import Service
from showtell.serve.urls import Urls

CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def make_app(service: Service, meters: Meters, fetcher: Fetcher | None = None, needs_key: bool = False) -> FastAPI:
    """The API alone; the gate goes around it, the page below it. Without a fetcher no URL is fetched.

    `needs_key`: that the gate asks for one is described.
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
    _answer_errors(app)
    _add_captions(app, service, fetcher)
    _add_state(app, service, meters)
    return app


def _add_captions(app: FastAPI, service: Service, fetcher: Fetcher | None) -> None:
    app.state.urls = urls = None if fetcher is None else Urls(fetcher, service.limits)

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
        client = client_of(request.client and request.client.host)
        service.batcher.check_room(client)  # before a body is read for nothing
        intake = await read_request(request, service.limits, fetcher is not None)
        ask = service.ask(**intake.options.model_dump())
        images = intake.images if urls is None else await urls.fetched(intake.images, client)
        outcomes = await service.caption(images, ask, client)
        return CaptionResponse(model=service.model, results=[_result(each) for each in outcomes])


def _result(outcome: Outcome) -> Result:
    if isinstance(outcome, BadImage):
        return Result(error=ErrorOut(code=outcome.code, message=outcome.detail))
    captions: tuple[Caption, ...] = outcome
    return Result(captions=[CaptionOut.of(each) for each in captions])


def _add_state(app: FastAPI, service: Service, meters: Meters) -> None:
    @app.get("/v1/models", summary="What captions are written by", responses=responses())
    async def models() -> ModelsOut:
        model = ModelOut(
            id=service.model,
            languages=list(service.captioner.languages),
            calibrated=list(service.captioner.calibrated),
            grid=service.captioner.bundle.manifest.grid,
            longest=service.captioner.longest,
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
        if service.batcher.stopping:
            raise Stopping
        if not service.batcher.alive:
            raise RefusedError(Refusal(503, "broken", "a thread of the server has died; start it again"))
        return Health(status="ready")

    @app.get("/metrics", summary="Counts and times for Prometheus", response_class=Response, responses=responses())
    async def metrics() -> Response:
        return Response(meters.text(), media_type=CONTENT_TYPE)


def _answer_errors(app: FastAPI) -> None:
    def answer(refusal: Refusal) -> JSONResponse:
        return JSONResponse(refusal.content(), refusal.status, dict(refusal.headers))

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return answer(error.refusal)

    @app.exception_handler(ShowtellError)
    async def ours(request: Request, error: ShowtellError) -> JSONResponse:
        return answer(Refusal.of(error))

    @app.exception_handler(HTTPException)
    async def of_starlette(request: Request, error: HTTPException) -> JSONResponse:
        code = CODES.get(error.status_code, "bad_request")
        return answer(Refusal(error.status_code, code, str(error.detail), error.headers or {}))

    @app.exception_handler(Exception)
    async def mistake(request: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after this answer, and the gate logs it.
        return answer(INTERNAL)
