# docker build -t neurdicom . && docker run -p 8080:8080 -p 4242:4242 -v neurdicom:/data neurdicom
# docs/installation.md goes on from there.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY bridge ./bridge
COPY neurdicom ./neurdicom
RUN python -m venv /opt/neurdicom \
 && /opt/neurdicom/bin/pip install --no-cache-dir '.[models,derived,dask]'
COPY plugins ./plugins
RUN make -C plugins NEURDICOM=/opt/neurdicom/bin/neurdicom \
 && mkdir /opt/neurdicom/plugins \
 && cp plugins/build/*.zip /opt/neurdicom/plugins/

FROM python:3.11-slim-bookworm
COPY --from=build /opt/neurdicom /opt/neurdicom
RUN useradd --system --uid 1000 --home-dir /data neurdicom \
 && install -d -o neurdicom -g neurdicom -m 0700 /data
USER neurdicom
WORKDIR /data
VOLUME /data
ENV PATH=/opt/neurdicom/bin:$PATH NEURDICOM_DATA=/data NEURDICOM_HOST=0.0.0.0 NEURDICOM_DIMSE_PORT=4242 PYTHONUNBUFFERED=1
EXPOSE 8080 4242
# The one-time password of the first administrator is in the log: docker logs CONTAINER
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/api/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["neurdicom"]
CMD ["serve"]
