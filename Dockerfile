# The server, page and API, with the built-in model: docs/serving.md.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/showtell && /opt/showtell/bin/pip install --no-cache-dir '.[serve]'

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin showtell
COPY --from=build /opt/showtell /opt/showtell
# Only uploads are written, to /tmp, so the root may be read-only. HOME is there too, for libraries that need one.
ENV PATH=/opt/showtell/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/readyz', timeout=2)"]
ENTRYPOINT ["showtell", "serve", "--host", "0.0.0.0"]
