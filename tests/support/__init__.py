"""What judges the server from outside: the event grammar, the SDK as an oracle, and a fake upstream.

None of these imports the server: a rule that were shared with it could not find a fault in it.
"""
