"""Loaded by schemathesis: NDJSON and workbooks, of which it knows nothing, go over the wire as the text and the bytes
that they are."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
schemathesis.serializer.alias(
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/octet-stream"
)
