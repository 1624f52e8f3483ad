"""The nouns of the admin API: projects, keys, people, limits, money, usage and the audit log.

The rules are those of `antiphon.wire`. A request is an `AdminRequest`, read by `decode_body` or `decode_query` and by
nothing else; it is named after its operation (`CreateProject`), an answer after its object (`Project`). What OpenAI's
API has and this server cannot honour is refused by name, because a limit or a filter that is silently ignored is worse
than none. What this server has beyond OpenAI's API is marked with the word *extension*.

Modules: `request` (how requests are read), `fields` (types of several modules), `paging` (lists and their pages),
`projects`, `permissions` (models and hosted tools of a project), `keys`, `people` (users and service accounts),
`limits` (rates), `spend` (limits and alerts on money), `usage_query` and `usage` (usage and costs), `audit`.
"""
