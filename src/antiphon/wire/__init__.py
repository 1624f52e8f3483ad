"""The nouns: every object of the Responses API as a typed struct with the API's own name.

The rules of this package:

- It imports nothing of ours, and no asyncio, clock, randomness or network. Everything else may import it.
- A class is named after its wire type: `function_call` is `FunctionCall`, `response.output_text.delta` is
  `OutputTextDelta`. One class serves input and output.
- `UNSET` is "the key is absent" and is left out when encoding; `None` is `null`.
- A type that we do not know is kept whole in an `Opaque` and encodes to the very object that came in.
- Bytes become structs in `decode_*` functions only, and what they refuse they refuse as an `APIError` that names the
  `param`. Behind them no code validates again.

Modules: `struct` (setup of msgspec), `content` and `items` (what a conversation is made of), `tools`, `request`,
`response`, `events`, `sse` (bytes on the wire), `errors` (the tree of errors), `read` (one object of a known type),
`invalid` (a msgspec complaint re-told in the API's words).
"""
