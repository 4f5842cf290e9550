# The container image of rollway: docker build --tag rollway .
# It runs as nobody, and needs neither a writable root file system nor a kubeconfig in a pod.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
COPY pyproject.toml README.md CHANGELOG.md LICENSE /source/
COPY rollway /source/rollway
COPY routers /source/routers
COPY templates /source/templates
RUN python3 -m venv /opt/rollway && /opt/rollway/bin/pip install --no-cache-dir /source

FROM ${PYTHON}
COPY --from=build /opt/rollway /opt/rollway
ENV PATH=/opt/rollway/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["rollway"]
