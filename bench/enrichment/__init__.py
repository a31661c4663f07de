"""What the steps of `ingest/enrichment/` cost an event, warm and cold."""
