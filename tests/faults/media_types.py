"""Loaded by schemathesis: NDJSON, of which it knows nothing, goes over the wire as the text that it is."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
