# A CPU image with the command textae: docker build -t textae . && docker run --rm -v "$PWD:/work" textae train
# Files and runs lie in /work, where the folder of the user is mounted: --user "$(id -u):$(id -g)" lets them be theirs.
FROM python:3.13-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
COPY --from=wheel /wheels /wheels
# The wheel of this source has a version, though pip is not given one.
# hadolint ignore=DL3013
RUN set -eu; wheel=$(echo /wheels/textae-*.whl); pip install --no-cache-dir "${wheel}[export,hub]"; rm -r /wheels
RUN useradd --create-home --uid 1000 textae && mkdir /work && chown textae /work
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib TEXTAE_DATA=/work/data
USER 1000
WORKDIR /work
ENTRYPOINT ["textae"]
CMD ["--help"]
