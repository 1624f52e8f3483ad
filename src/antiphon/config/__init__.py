"""The configuration: what is set, where it comes from, and what is found where nothing is set.

* `settings`   the nouns: one struct a table of `antiphon.toml`
* `load`       flags, environment, `.env`, file and defaults become one `Config`; `convert` and `check` refuse the rest
* `addresses`  where a server listens, and how a client writes that
* `keys`       a key from the settings, a file or a command
* `discovery`  models without a configuration: a key of OpenAI's in the environment, servers on the usual local ports
* `probe`      one short HTTP request, for discovery and the doctor

No module here imports a backend: `antiphon.plugins` makes models of settings.
"""
