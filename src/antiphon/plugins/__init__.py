"""Makes models, moderators and observers of settings: the one place that knows both the configuration and the adapters.

`compose` makes the server's catalog, `Models`; `monitoring` who looks on, `embedders` the models of `[embeddings]`,
`answers_of` the response cache.

* `configured`  a configuration as its catalog
* `catalog`     which model a name stands for
* `listing`     what a server of models lists
* `composer`    what stands around a model
* `backends`    the models themselves, ours and those of others
* `moderators`, `embeddings`, `cache`, `observers`, `alerts`  the rest that has settings
* `options`     settings as the options of an upstream
* `engine`      the engine over all of them
"""

from antiphon.plugins.alerts import alert_sinks
from antiphon.plugins.backends import GROUP, Backend
from antiphon.plugins.cache import answers_of
from antiphon.plugins.catalog import Models
from antiphon.plugins.configured import compose
from antiphon.plugins.embeddings import embedders
from antiphon.plugins.observers import Monitoring, monitoring

__all__ = [
    "GROUP",
    "Backend",
    "Models",
    "Monitoring",
    "alert_sinks",
    "answers_of",
    "compose",
    "embedders",
    "monitoring",
]
