"""The engine: types, schema, graph, validation, identity, cache, execution, models, sampling. Knows nothing of HTTP, users or money."""
