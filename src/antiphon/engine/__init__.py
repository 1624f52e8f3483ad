"""THE ONLY LOOP. Async; it talks to the world through `ports` alone.

* `log`      what happened in one response, as bytes: appended once, read by any number of followers
* `journal`  group commit: all that is said between two commits goes into one
* `run`      one response from its first event to its last
* `engine`   create, retrieve, cancel, delete: the operations of the API
* `worker`   background responses: lease, heartbeat, take-over
"""
