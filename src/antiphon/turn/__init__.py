"""THE GRAMMAR, sans-I/O: what a model says (deltas) becomes what happened (events), and events become a Response.

Nothing here knows a clock, a socket or a random number: times and ids are arguments.

* `deltas`   the closed vocabulary of a model backend
* `writers`  a table: item kind → the events that open it, let it grow, move it on and close it
* `machine`  deltas in, numbered events out; the only place that counts
* `fold`     events in, Response out
* `frames`   a log as bytes: counted, skipped, read back
* `include`  what is stored and shown only to those who ask for it
* `input`    what a request and its history become before a model sees them
* `settings` the Response at its start
"""
