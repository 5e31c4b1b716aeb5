"""A unit as it was before a rollout: what ran, made from what, and what its data is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, RefusedError, TlsError, ValkeyctlError
from valkeyctl.ops.deployment import Access, Progress
from valkeyctl.ops.drift import ask_unit
from valkeyctl.ops.endpoints import reached
from valkeyctl.ops.fallback import unit_render_of
from valkeyctl.ops.persistence import loaded_from, saves, write_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import POD, Artefacts
from valkeyctl.runtime.pod import IMAGE_ID
from valkeyctl.runtime.protocol import Instance
from valkeyctl.runtime.ready import ask


@dataclass(frozen=True)
class Before:
    """What was there of a unit when its rollout began; asked once, and remembered.

    Attributes:
        wanted: What it is to become.
        instance: Its server, if one ran.
        state: Our own files.
        access: From a unit to its published address, with a login that may use CONFIG.
    """

    wanted: Artefacts
    instance: Instance | None
    state: StateFolder
    access: Access

    @cached_property
    def render(self) -> Artefacts | None:
        """The kept render that the server was made from, else the last good one, else None."""
        digest = self.instance.digest if self.instance else ""
        return unit_render_of(self.state, self.wanted, digest)

    @property
    def made_from(self) -> Artefacts | None:
        """The kept render that the running server was made from; None when that is lost."""
        running, render = self.instance, self.render
        same = running is not None and render is not None and render.digest == running.digest
        return render if same else None

    @property
    def to_put_back(self) -> Artefacts | None:
        """The render to go back to, with the very image that ran where its tag has moved on."""
        render, facts = self.render, self.instance.facts if self.instance else {}
        image = facts.get(IMAGE_ID, "")
        if render is None or not image or facts.get("image") == render.image:
            return render
        named = f"image: {render.image}\n"
        files = {**render.files, POD: render.files[POD].replace(named, f"image: '{image}'\n")}
        return replace(render, files=files, image=image)

    @property
    def endpoint(self) -> Endpoint:
        """Where the server listened, with the login that it was made with."""
        found = self.access(self.made_from or self.wanted)
        if self.instance is None:
            return found
        where = self.instance.endpoint
        return replace(found, host=reached(where.host), port=where.port)

    @property
    def reported(self) -> Mapping[str, str] | None:
        """What the server says of its directives; None when it cannot be asked."""
        answer = self._answer
        return None if isinstance(answer, AuthError) else answer

    @property
    def locked(self) -> bool:
        """Whether it refuses the login that it was made with: somebody has changed its users."""
        return isinstance(self._answer, AuthError)

    @cached_property
    def _answer(self) -> Mapping[str, str] | AuthError | None:
        # One that hangs has us wait for each of its answers; a PING is given less time.
        if self.instance is None or ask(self.endpoint) == "silent":
            return None
        try:
            return ask_unit(self.endpoint, self.wanted).directives
        except AuthError as error:
            return error
        except ValkeyctlError:
            return None  # `answers` says whether it must be replaced

    @property
    def grace(self) -> float:
        """Seconds that it may take to save and end."""
        return (self.render or self.wanted).stop_grace

    @property
    def _settings(self) -> Mapping[str, str] | None:
        """What the server is set to, by its own word or by its render; None when unknown."""
        return self.reported or (self.render.directives if self.render is not None else None)

    @property
    def keeps_data(self) -> bool:
        """Whether it writes its data to its disk, as far as is known."""
        now = self._settings
        return now is None or saves(now)

    @property
    def loses_data(self) -> bool:
        """Whether a restart into what is wanted loses the data, as far as is known."""
        now = self._settings
        if now is None or saves(self.wanted.directives):
            return False  # what is to be kept is carried over; see `persistence`
        # It looks for an RDB all the same, and finds the one of before.
        return not (saves(now) and loaded_from(now) == "RDB")

    @property
    def lies_elsewhere(self) -> bool:
        """Whether the server is down, and its data where what is wanted does not look."""
        then, wanted = self.render, self.wanted
        return (
            self.instance is None
            and then is not None
            and wanted.kind == "server"
            and saves(then.directives)
            and saves(wanted.directives)
            and loaded_from(then.directives) != loaded_from(wanted.directives)
        )

    def write_for_the_next(self, progress: Progress) -> None:
        """Let the server write its data where what is wanted looks for it.

        Args:
            progress: Called with one line when that is another place.

        Raises:
            FolderError: It cannot.
            RefusedError: It knows our login no more, and its data would not be found.
            UnreachableError, ServerReplyError: It cannot be asked, or refuses to.
        """
        wanted = self.wanted.directives
        if self.wanted.kind != "server" or not saves(wanted):
            return
        now = self._settings
        differs = now is None or loaded_from(now) != loaded_from(wanted)
        if differs:
            progress(f"{self.wanted.name} writes its data as {loaded_from(wanted)} too")
        try:
            write_for(self.endpoint, wanted)
        except (AuthError, TlsError) as error:
            # A lost login is no reason against a restart, where nothing is to be carried over.
            if differs:
                name = self.wanted.name
                raise RefusedError(
                    f"the data of {name} cannot be carried over to its {loaded_from(wanted)}: "
                    f"{error}",
                    hint=f"Let it read its passwords first: valkeyctl restart -p {name}",
                ) from error

    def answers(self) -> bool:
        """Say whether the server answers now."""
        return self.instance is not None and ask(self.endpoint) == "ready"
