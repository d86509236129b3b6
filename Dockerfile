# Two stages: wheels are built where compilers may be, the image that runs holds none.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml README.md ./
COPY heliosd heliosd
COPY protocol protocol
COPY storage storage
RUN python -m venv /opt/heliosd \
    && /opt/heliosd/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 1000 heliosdb \
    && useradd --uid 1000 --gid 1000 --home-dir /data --no-create-home heliosdb \
    && mkdir -m 0700 /data && chown heliosdb:heliosdb /data
COPY --from=build /opt/heliosd /opt/heliosd
ENV PATH=/opt/heliosd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HELIOSDB_DATA_DIR=/data \
    HELIOSDB_LISTEN=0.0.0.0:5432 \
    HELIOSDB_HTTP=0.0.0.0:8080
USER 1000:1000
VOLUME /data
EXPOSE 5432 8080
# The root file system may be read-only: everything that is written is under /data.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["heliosd"]
CMD ["serve"]
