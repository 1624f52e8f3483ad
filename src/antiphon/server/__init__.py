"""HTTP, and nothing but HTTP. `app` names every route on one screen; only this package knows Starlette and uvicorn.

* `connection` one socket: what is no request, what does not come, who has left
* `call`       one request and its answer: headers, body, limits, the boundary where errors become HTTP
* `guard`      who may ask: Host, Origin, key
* `sse`        a log on a socket: keepalives, a client that leaves, a stream that cannot go on
* `routes`     thin functions: decode, ask the engine, encode
* `run`        the process: sockets, signals, draining
* `logs`       what it writes about itself
"""
