"""``valkeyctl drill``: a fault on purpose, and what clients felt of it.

Each verb is a file of this package, imported when the verb runs; what they have in
common is in `conduct` and `options`.
"""

from __future__ import annotations

from valkeyctl.cli.boundary import lazy_app
from valkeyctl.cli.commands import COMMANDS, Entry

VERBS: dict[str, Entry] = {
    "kill": Entry("kill", "End a server as a crash would, and see it come back."),
    "hang": Entry("hang", "Pause a server: it takes connections and answers nothing."),
    "partition": Entry("partition", "Cut a server off from its peers and all clients."),
    "full-memory": Entry("full_memory", "Fill a server up to its maxmemory."),
    "failover": Entry("failover", "Move the primary's role to a replica, as planned."),
    "restart": Entry("restart", "Stop every server cleanly and start it again, under load."),
    "undo": Entry("undo", "Undo the fault that a drill has left, because it was killed."),
}
app = lazy_app(COMMANDS["drill"].help, VERBS, package=__name__)
