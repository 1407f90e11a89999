# dcmon's processes. The image holds the wheel and nothing else; settings come by environment (docs/settings.md).
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY dcmon dcmon
COPY migrations migrations
COPY man man
COPY docs docs
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheel

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/dcmon dcmon
COPY --from=build /wheel /wheel
RUN pip install --no-cache-dir "$(echo /wheel/*.whl)[server]" && rm -r /wheel
USER dcmon
ENV DCMON_DATA_DIR=/var/lib/dcmon DCMON_HTTP__HOST=0.0.0.0
EXPOSE 8000
ENTRYPOINT ["dcmon"]
CMD ["--help"]
