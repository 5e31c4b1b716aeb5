"""The sample application as a process: one listening socket, until a signal."""

from __future__ import annotations

import logging
import sys

import uvicorn

from valkeyctl.errors import StartError
from valkeyctl.sample.app import Sample
from valkeyctl.sample.settings import SampleSettings
from valkeyctl.serving import BACKLOG, KEEP_ALIVE, Server, listen


def serve(settings: SampleSettings) -> None:
    """Run the application until SIGTERM or SIGINT, or until the parent is gone.

    Raises:
        PortTakenError: Another process listens on the port.
        StartError: The address cannot be listened on, or the application did not start.
    """
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr)
    with listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            Sample(settings),
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
        try:
            Server(config, parent=settings.parent).run(sockets=[listener])
        except SystemExit as error:
            # uvicorn's way to say that the lifespan failed; its reason is in the log.
            raise StartError(
                "the sample application did not start", hint="Read the log above"
            ) from error
