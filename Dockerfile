# One image for the service and its workers; they differ in their command alone.
#   docker build -t classiglot .
# The default index's build of torch brings CUDA (several GB) and runs on processors too. For a smaller image without
# it, or for an older driver, give the address of the index of PyTorch's other builds:
#   docker build -t classiglot --build-arg TORCH_INDEX_URL=<address> .

# One stage: a virtual environment copied from another stage would be one layer of gigabytes, sent anew with every
# change of a line. Nothing is compiled here, so there is no tool chain to leave behind either.
FROM python:3.12-slim

ARG TORCH_INDEX_URL=""

WORKDIR /src

# What changes least comes first, so that a change of the sources installs nothing but the sources.
# --no-deps: an index of torch builds has few other packages; what torch needs comes from the default one in the next step.
COPY constraints.txt ./
RUN export PIP_INDEX_URL="$TORCH_INDEX_URL" && pip install --no-cache-dir --no-deps --constraint constraints.txt torch

COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
               print(*p['dependencies'], *p['optional-dependencies']['bundled'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

# README.md is part of the package's description: without it the package cannot be built.
COPY README.md ./
COPY service service
COPY worker worker
RUN pip install --no-cache-dir --constraint constraints.txt ".[bundled]"

# A new volume takes the owner of the folder it is mounted on; without these it would be root's and not writable.
# A number for USER, because Kubernetes' runAsNonRoot cannot tell who a name is.
RUN useradd --uid 10001 --user-group --create-home classiglot \
    && install --directory --owner=classiglot --group=classiglot /data /artifacts /hub
USER 10001

# HOST: a container's own loopback is reached by nobody; who may reach the port is said where it is published. Before
# there is an API key the service refuses to start: docker run … classiglot keys create --name me --scopes admin
ENV DATA_DIR=/data HF_HOME=/hub HOST=0.0.0.0
VOLUME ["/data", "/artifacts", "/hub"]
# Not /src: Python would take the packages from there instead of the installed ones.
WORKDIR /
EXPOSE 8000
CMD ["classiglot", "api"]
