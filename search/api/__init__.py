"""The HTTP API and the page: what `search serve` runs.

`app.create_app` puts it together; `routes` has one module per resource. Endpoints are plain
functions that Starlette runs in threads, so that neither models nor stores hold up the event loop.
"""
