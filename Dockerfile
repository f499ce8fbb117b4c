# Two stages: one that builds, and one that holds Python, the locked dependencies and extauthz.
# Both use the Python that the tests run on; the virtual environment is only valid for that one.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# image.txt holds the fast event loop and the native transport (docs/performance.md), otel.txt
# what docs/operations/tracing.md is about as well, runtime.txt neither.
ARG REQUIREMENTS=image.txt
WORKDIR /src
COPY requirements/build.txt requirements/image.txt requirements/otel.txt requirements/runtime.txt requirements/
RUN python -m venv --without-pip /opt/extauthz \
    && python -m pip install --require-hashes --only-binary=:all: -r requirements/build.txt \
    && python -m pip --python /opt/extauthz/bin/python install \
        --require-hashes --only-binary=:all: -r "requirements/${REQUIREMENTS}"
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY LICENSES LICENSES
COPY extauthz extauthz
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/extauthz/bin/python install --no-deps --no-index /dist/*.whl

FROM python:${PYTHON_VERSION}-slim-bookworm
ARG PYTHON_VERSION
# The image of Python comes without bytecode, and nothing is written at run time: each start, and
# each health check, would compile the standard library anew.
RUN python -m compileall -q -x '/(ensurepip|idlelib|lib2to3|pydoc_data|site-packages|tkinter|turtledemo)/' \
        "/usr/local/lib/python${PYTHON_VERSION}"
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="extauthz" \
      org.opencontainers.image.description="External authorizer for MCP servers behind Envoy, nginx and forward-auth proxies" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/extauthz /opt/extauthz
# Nothing is written at run time, so the root file system may be read-only. PYTHONSAFEPATH keeps
# the working directory out of the module path.
ENV PATH=/opt/extauthz/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
# A number, for Kubernetes cannot tell whether a name is root.
USER 65532:65532
EXPOSE 9191 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-m", "extauthz", "healthcheck"]
ENTRYPOINT ["python", "-m", "extauthz"]
CMD ["serve"]
