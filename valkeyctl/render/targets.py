"""The files that only who asks for them gets: no deployment of ours runs from them.

They are no part of `Artefacts.files`, whose digest labels a running server: a change in
how a Quadlet unit is written must not make a deployed pod look outdated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from valkeyctl.profile.schema import Profile

Extra: TypeAlias = Literal["quadlet", "kubernetes"]


def extra(profile: Profile, target: Extra) -> Mapping[str, str]:
    """Return the files of *target*, name to text; holds no secret.

    The same profile always gives the same text.

    Raises:
        ProfileError: A field asks for something that *target* cannot express.
        BudgetError: The memory does not fit the limit.
    """
    # Each costs only who asks for it: `deploy` needs neither.
    if target == "quadlet":
        from valkeyctl.render.quadlet import quadlet_files

        return quadlet_files(profile)
    from valkeyctl.render.kubernetes import KUBERNETES, kubernetes_text

    return {KUBERNETES: kubernetes_text(profile)}
