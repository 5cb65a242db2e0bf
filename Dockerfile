# One image for every service: the command says which one runs, the environment where its bus and its database are.

FROM python:3.13-slim AS build
WORKDIR /build
RUN ["python", "-m", "venv", "--without-pip", "/venv"]
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY servicebus/ servicebus/
# Wheels only: where one is missing, this fails here instead of asking for a compiler.
RUN ["pip", "--python", "/venv/bin/python", "install", "--no-cache-dir", "--only-binary", ":all:", \
     "--constraint", "constraints.txt", ".[postgres,uvloop]"]
COPY services/ /app/services/
# The root file system of a container is read-only, so what is not compiled now is compiled at every start.
RUN ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app/services"]

FROM python:3.13-slim
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv/ /venv/
COPY --from=build /app/ /app/
WORKDIR /app
USER 10001:10001
CMD ["servicebus", "--help"]
