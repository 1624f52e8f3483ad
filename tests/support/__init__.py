"""What judges the server from outside: the event grammar, the SDK as an oracle, and a fake upstream.

Nothing in here imports the server. A rule that were shared with it could not find a fault in it.
"""
